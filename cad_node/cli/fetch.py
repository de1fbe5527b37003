"""fetch: studies from a PACS."""

import signal
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cad_node.cli.context import EX_FAILED, AsJson, console, existing_store, print_json, settings
from cad_node.cli.peer import named_peer
from cad_node.cli.tables import add, narrow, number, short_uid, table
from cad_node.errors import CadNodeError
from cad_node.settings import Source

if TYPE_CHECKING:
    from cad_node.app.fetch import Fetched
    from cad_node.query.holdings import StudyThere

app = typer.Typer()

_EX_INTERRUPTED = 130  # 128 and the signal, as shells have it
_NAMED_UIDS = 5


@app.command(
    epilog="Examples: cad-node --config cad_node.toml fetch 1.2.840.99.1 --from pacs\n\n"
    "what the node lacks of it, and two earlier studies to compare: cad-node fetch 1.2.840.99.1 --from pacs --missing --priors 2\n\n"
    "Exit status: 0 all that was asked for is here; 1 some isn't, the table says why; 130 cancelled by Ctrl-C."
)
def fetch(
    study: Annotated[str, typer.Argument(metavar="STUDY_UID", help="Study Instance UID of the study to fetch.", show_default=False)],
    source: Annotated[
        str,
        typer.Option("--from", help="The PACS: a name under sources in the settings, or AETITLE@HOST:PORT.", show_default=False),
    ],
    *,
    series: Annotated[
        list[str] | None, typer.Option(help="Series Instance UID of a series, instead of the whole study; may be repeated.")
    ] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Only the instances that this node hasn't received.")] = False,
    priors: Annotated[
        int, typer.Option(min=0, help="Also the newest so many earlier studies of the same patient that share a modality with it.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Fetch a study from a PACS: the whole of it, some series, or what is missing here; with earlier studies of the patient if wanted.

    The PACS must let this node query and retrieve. By C-MOVE, as is usual, it sends to the node's listener, which must be running
    (cad-node serve); the PACS must know its AE title, address and port. Where that can't be had, give the PACS
    retrieve = "get" in the settings: the instances then come on this command's own association. Run it as the node's user then.

    What arrives is analysed like anything that is sent to the node. Ctrl-C cancels at the PACS; what has arrived stays.
    """
    from cad_node.app.fetch import Wanted
    from cad_node.app.fetch import fetch as fetch_from

    read = settings()
    from_there = named_peer(source, read.sources, Source, "source")
    store = existing_store()
    stop = _stop_on_interrupt()
    with _Bars(is_hidden=as_json) as bars:
        wanted = Wanted(study, tuple(series or ()), missing, priors)
        fetched, error = _collected(fetch_from(from_there, read, store, wanted, progress=bars.advance, stop=stop))
    if as_json:
        print_json([_document(item) for item in fetched])
    elif fetched:
        _print(fetched, source)
    if error:
        raise error
    if stop.is_set():
        raise typer.Exit(_EX_INTERRUPTED)
    raise typer.Exit(0 if all(item.is_complete for item in fetched) else EX_FAILED)


def _collected(fetched: "Iterable[Fetched]") -> "tuple[list[Fetched], CadNodeError | None]":
    """What was fetched before it went wrong, if it did: the table is shown all the same."""
    items = []
    try:
        for item in fetched:
            items.append(item)  # noqa: PERF402 - a list comprehension would keep none
    except CadNodeError as error:
        return items, error
    return items, None


def _stop_on_interrupt() -> threading.Event:
    """Set by the first Ctrl-C; the second one breaks off, without waiting for the PACS."""
    stop = threading.Event()

    def cancel(*_: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        console.print("[yellow]cancelling at the PACS; once more Ctrl-C breaks off[/]", highlight=False)

    signal.signal(signal.SIGINT, cancel)
    return stop


class _Bars:
    """A progress bar for each study."""

    def __init__(self, is_hidden: bool) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self._progress = Progress(*columns, console=console, disable=is_hidden)
        self._tasks: dict[str, Any] = {}

    def advance(self, study: "StudyThere", done: int, total: int) -> None:
        uid = study.study_instance_uid
        if uid not in self._tasks:
            self._tasks[uid] = self._progress.add_task(short_uid(uid, console.width))
        self._progress.update(self._tasks[uid], completed=done, total=total)

    def __enter__(self) -> "_Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _print(fetched: "Sequence[Fetched]", source: str) -> None:
    rows = table(
        f"fetched from {source}", narrow("study"), narrow(""), narrow("date"), *map(number, ("there", "asked", "arrived")), "result"
    )
    for item in fetched:
        uid = short_uid(item.study.study_instance_uid, console.width)
        kind = "prior" if item.is_prior else ""
        add(rows, uid, kind, item.study.study_date, item.there, item.asked, item.arrived, _result(item))
    console.print(rows)
    for uid in [uid for item in fetched for uid in item.failed_uids][:_NAMED_UIDS]:
        console.print(f"the PACS couldn't send {uid}", highlight=False)


def _result(item: "Fetched") -> str:
    if not item.asked:
        return "nothing is missing" if item.there else "the PACS has no instance of it"
    if item.is_complete:
        return "complete"
    return item.trouble or "the PACS says it has sent all; look into the node's log for instances that it refused"


def _document(item: "Fetched") -> dict[str, Any]:
    return asdict(item) | {"is_complete": item.is_complete}
