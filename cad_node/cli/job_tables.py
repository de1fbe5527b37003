"""Jobs as tables."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table

from cad_node.cli.tables import WIDE, add, listed, narrow, number, short_uid, table

if TYPE_CHECKING:  # the database isn't imported to print a help text
    from cad_node.store.deliveries import DeliverySummary
    from cad_node.store.events import JobEvent
    from cad_node.store.job_values import JobDetail, JobSummary, NewResult


def print_jobs(console: Console, jobs: "Sequence[JobSummary]") -> None:
    """The table, and below it why the jobs that have a reason are so: a sentence fits no column."""
    console.print(job_table(jobs, console.width))
    reasons = [(f"job {job.id}", reason(job)) for job in jobs if job.reason]
    if reasons:
        console.print(listed(reasons, "\nWhy"))


def job_table(jobs: "Sequence[JobSummary]", width: int) -> Table:
    """One row a job, for a terminal of `width` columns."""
    more = width >= WIDE
    columns: list[str | Column] = [number("job"), narrow("state"), narrow("model"), narrow("study"), narrow("created"), number("sent")]
    rows = table("Jobs", *columns, *((number("prio"), number("rev"), number("tries")) if more else ()))
    for job in jobs:
        study = short_uid(job.study_instance_uid, width)
        sent = f"{job.delivered}/{job.deliveries}" if job.deliveries else ""
        also = (job.priority, job.revision, job.attempt) if more else ()
        add(rows, job.id, job.state, f"{job.model_name} {job.model_version}", study, job.created_at, sent, *also)
    return rows


def reason(job: "JobSummary") -> str:
    """The code and the sentence of a refused job, the reason of a failed one."""
    return f"{job.reason_code}: {job.reason}" if job.reason_code else job.reason


def print_one(console: Console, detail: "JobDetail") -> None:
    """Everything about one job."""
    row = detail.summary
    console.print(listed((_label(field.name), getattr(row, field.name)) for field in fields(row)))
    console.print(listed(((event.at, _move(event)) for event in detail.events), "\nWhat happened"))
    if detail.results:
        console.print(listed(((result.builder, _result(result)) for result in detail.results), "\nResults"))
    if detail.deliveries:
        console.print(listed(((d.destination, _delivery(d)) for d in detail.deliveries), "\nDeliveries"))


def _label(field_name: str) -> str:
    """Short enough that a UID beside it isn't broken at 80 columns."""
    return field_name.removesuffix("_instance_uid").replace("_", " ")


def _move(event: "JobEvent") -> str:
    whose = f"delivery {event.delivery_id} " if event.delivery_id is not None else ""
    states = f"{event.from_state} → {event.to_state}" if event.from_state != event.to_state else event.to_state
    said = f": {event.detail}" if event.detail else ""
    return f"{whose}{states} ({event.event} by {event.actor}){said}"


def _result(result: "NewResult") -> str:
    return f"{result.path} (held back, for inspection)" if result.fault else str(result.path)


def _delivery(delivery: "DeliverySummary") -> str:
    said = f": {delivery.reason}" if delivery.reason else ""
    return f"{delivery.builder} {delivery.state}, attempt {delivery.attempt}{said}"
