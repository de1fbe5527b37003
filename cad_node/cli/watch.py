"""The job table, live."""

import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from cad_node.cli.job_tables import job_table
from cad_node.lifecycle import JobState

if TYPE_CHECKING:
    from cad_node.app.start import Store

_OTHER_LINES = 5  # counts, title, head, and room for the prompt


def watch_jobs(console: Console, store: "Store", every_s: float, looks: int) -> None:
    """Show the newest jobs every `every_s` seconds, `looks` times (0: until Ctrl-C)."""
    look = 0
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                live.update(_view(console, store), refresh=True)
                look += 1
                if look == looks:
                    return
                time.sleep(every_s)
        except KeyboardInterrupt:
            return  # the way to end it


def _view(console: Console, store: "Store") -> Group:
    counts = store.jobs.counts()
    states = "  ".join(f"{state.value} {counts[state]}" for state in JobState if counts[state])
    line = Text(f"{states or 'no jobs'}  undelivered {store.deliveries.pending()}")
    return Group(line, job_table(store.jobs.list(None, max(1, console.height - _OTHER_LINES)), console.width))
