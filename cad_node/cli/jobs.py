"""jobs: the job table, seen and steered."""

import time
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table

from cad_node.app.start import now, open_store
from cad_node.cli.context import AsJson, cell, console, print_json, record, settings, show
from cad_node.lifecycle import JobState
from cad_node.store.jobs import JobSummary

app = typer.Typer(no_args_is_help=True, help="See and steer the job table.")

COLUMNS = ("id", "state", "model_name", "model_version", "study_instance_uid", "revision", "priority", "attempt", "created_at", "reason")
JobId = Annotated[int, typer.Argument(help="The job's number, as `jobs list` shows it.")]


@app.command("list")
def list_jobs(
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first, with why the refused and failed ones are so."""
    show(open_store(settings()).jobs.list(state, limit), COLUMNS, as_json, "Jobs")


@app.command("show")
def show_job(job_id: JobId, as_json: AsJson = False) -> None:
    """Show one job: its row, every move it made, its results and their deliveries."""
    detail = open_store(settings()).jobs.show(job_id)
    if as_json:
        print_json(detail)
        return
    console.print(record(detail.summary))
    show(detail.events, ("at", "delivery_id", "event", "from_state", "to_state", "actor", "detail"), False, "What happened")
    show(detail.results, ("builder", "sop_instance_uid", "path"), False, "Results")
    show(detail.deliveries, ("destination", "state", "attempt", "sop_instance_uid", "reason"), False, "Deliveries")


@app.command()
def retry(job_id: JobId) -> None:
    """Queue a refused, failed, quarantined or cancelled job again; send failed deliveries of a finished one again."""
    store = open_store(settings())
    if store.jobs.show(job_id).summary.state == JobState.DONE:
        console.print(f"{store.deliveries.retry(job_id, now())} deliveries of job {job_id} are pending again")
        return
    store.jobs.retry(job_id, now())
    console.print(f"job {job_id} is queued again")


@app.command()
def cancel(job_id: JobId) -> None:
    """Cancel a queued or running job; of a finished one, the deliveries that haven't left yet."""
    store = open_store(settings())
    if store.jobs.show(job_id).summary.state == JobState.DONE:
        console.print(f"{store.deliveries.cancel(job_id, now())} deliveries of job {job_id} are cancelled")
        return
    store.jobs.cancel(job_id, now())
    console.print(f"job {job_id} is cancelled")


@app.command()
def priority(job_id: JobId, value: Annotated[int, typer.Argument(help="Higher runs earlier; 0 is usual.")]) -> None:
    """Move a queued job forward or back."""
    open_store(settings()).jobs.set_priority(job_id, value, now())
    console.print(f"job {job_id} has priority {value}")


@app.command()
def watch(
    every_s: Annotated[float, typer.Option("--every", help="Seconds between two looks.")] = 1.0,
    looks: Annotated[int, typer.Option(help="Stop after so many looks; 0 goes on until Ctrl-C.", min=0)] = 0,
) -> None:
    """Watch the job table live."""
    store = open_store(settings())
    with Live(console=console, refresh_per_second=4) as live:
        look = 0
        while not looks or look < looks:
            look += 1
            counts = store.jobs.counts()
            line = "  ".join(f"{state.value} {counts.get(state, 0)}" for state in JobState) + f"  undelivered {store.deliveries.pending()}"
            live.update(Group(line, _table(store.jobs.list(None, 25))))
            time.sleep(every_s)


def _table(jobs: list[JobSummary]) -> Table:
    table = Table(header_style="bold")
    for column in COLUMNS:
        table.add_column(column.replace("_", " "), overflow="fold")
    for job in jobs:
        table.add_row(*(cell(getattr(job, column)) for column in COLUMNS))
    return table
