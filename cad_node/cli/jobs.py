"""jobs: the job table, seen and steered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from cad_node.cli.context import AsJson, console, existing_store, print_json
from cad_node.cli.job_tables import print_jobs, print_one
from cad_node.cli.watch import watch_jobs
from cad_node.errors import CadNodeError
from cad_node.lifecycle import JOB_MOVES, IllegalMove, JobState, sources

app = typer.Typer(
    no_args_is_help=True,
    help="See and steer the job table: a job is one model on one study.\n\n"
    "A job is queued, running, done, refused (the model can't take the study), failed (every attempt did), "
    "quarantined (it killed its worker) or cancelled.",
)

JobId = Annotated[int, typer.Argument(help="The job's number, as `cad-node jobs list` shows it.", show_default=False)]


class CannotNow(CadNodeError):
    """The job isn't in a state in which this can be done."""


@app.command("list", epilog="Examples: cad-node jobs list --state failed\n\ncad-node jobs list --json | jq '.[] | {id, state, reason}'")
def list_jobs(
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first, with why the refused and failed ones are so."""
    jobs = existing_store().jobs.list(state, limit)
    if as_json:
        print_json([asdict(job) for job in jobs])
        return
    print_jobs(console, jobs)


@app.command("show", epilog="Example: cad-node jobs show 7")
def show_job(job_id: JobId, as_json: AsJson = False) -> None:
    """Show one job: its row, every move it made, its results and their deliveries."""
    detail = existing_store().jobs.show(job_id)
    if as_json:
        print_json(asdict(detail))
        return
    print_one(console, detail)


@app.command(epilog="Examples: cad-node jobs retry 7\n\nafter a repair: cad-node jobs retry --state failed")
def retry(
    job_id: Annotated[int | None, typer.Argument(help="The job's number, as `cad-node jobs list` shows it.", show_default=False)] = None,
    state: Annotated[
        JobState | None, typer.Option(help="Every job in this state instead; queued: those that wait after a failure.")
    ] = None,
) -> None:
    """Queue a job again that ended without a result; of a finished one, send what wasn't delivered again."""
    from cad_node.app.start import now

    if (job_id is None) == (state is None):
        raise typer.BadParameter("name one job by its number, or all of a --state")
    store = existing_store()
    if state is not None:
        console.print(f"{store.jobs.retry_all(state, now())} {state} jobs are queued again")
        return
    assert job_id is not None
    if store.jobs.show(job_id).summary.state == JobState.DONE:
        if not (count := store.deliveries.retry(job_id, now())):
            raise CannotNow(f"job {job_id} is done, and none of its deliveries has failed, waits or was cancelled: nothing to retry")
        console.print(f"job {job_id}: {count} deliveries are pending again")
        return
    with _explained(job_id, "retry", "retried"):
        store.jobs.retry(job_id, now())
    console.print(f"job {job_id} is queued again")


@app.command(epilog="Example: cad-node jobs cancel 7")
def cancel(job_id: JobId) -> None:
    """Cancel a queued or running job; of a finished one, the deliveries that haven't left yet, or failed."""
    from cad_node.app.start import now

    store = existing_store()
    if store.jobs.show(job_id).summary.state == JobState.DONE:
        if not (count := store.deliveries.cancel(job_id, now())):
            raise CannotNow(f"job {job_id} is done, and all its deliveries are over: nothing to cancel")
        console.print(f"job {job_id}: {count} deliveries are cancelled")
        return
    with _explained(job_id, "cancel", "cancelled"):
        store.jobs.cancel(job_id, now())
    console.print(f"job {job_id} is cancelled")


@app.command(epilog="Example, an emergency first: cad-node jobs priority 7 100\n\nA value below 0: cad-node jobs priority -- 7 -5")
def priority(job_id: JobId, value: Annotated[int, typer.Argument(help="Higher runs earlier; 0 is usual.", show_default=False)]) -> None:
    """Move a queued job forward or back."""
    from cad_node.app.start import now

    with _explained(job_id, "claim", "moved"):
        existing_store().jobs.set_priority(job_id, value, now())
    console.print(f"job {job_id} has priority {value}")


@app.command(epilog="Example: cad-node jobs watch --every 5")
def watch(
    every_s: Annotated[float, typer.Option("--every", min=0.1, help="Seconds between two looks.")] = 1.0,
    looks: Annotated[int, typer.Option(help="Stop after so many looks; 0 goes on until Ctrl-C.", min=0)] = 0,
) -> None:
    """Watch the job table live, until Ctrl-C."""
    watch_jobs(console, existing_store(), every_s, looks)


@contextmanager
def _explained(job_id: int, event: str, done: str) -> Iterator[None]:
    """Say in which states the move is possible where it isn't."""
    try:
        yield
    except IllegalMove as exc:
        possible = " or ".join(sources(JOB_MOVES, event))
        raise CannotNow(f"job {job_id} can't be {done} now, only while it is {possible}; see `cad-node jobs show {job_id}`") from exc
