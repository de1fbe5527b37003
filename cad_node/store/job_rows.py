"""Rows of the job table and of what belongs to a job: moved by someone other than the worker, made, and read."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from cad_node.lifecycle import DELIVERY_DONE, JOB_MOVES, DeliveryState, move
from cad_node.objects import Profile
from cad_node.store.delivery_rows import delivery_row
from cad_node.store.events import ADMIN, record
from cad_node.store.job_values import ClaimedJob, JobSummary, NewResult
from cad_node.store.tables import DeliveryRow, JobRow, ResultRow


def steer(session: Session, row: JobRow, event: str, now: datetime, *, actor: str = ADMIN, detail: str = "") -> None:
    """One move of a locked row by someone other than its worker."""
    before, row.state = row.state, move(JOB_MOVES, row.state, event)
    record(session, row.id, event, (before, row.state), actor=actor, now=now, detail=detail)


def cancel(session: Session, row: JobRow, now: datetime, *, actor: str = ADMIN, reason: str = "") -> None:
    """Cancel a locked row, and take it from the worker that has it."""
    steer(session, row, "cancel", now, actor=actor, detail=reason)
    row.fence += 1
    row.lease_until, row.finished_at = None, now
    row.reason = reason or row.reason


def add_results(session: Session, job: ClaimedJob, results: Sequence[NewResult], profiles: Mapping[str, Profile], now: datetime) -> None:
    """The results of a job, and a delivery of each to each destination that wants it; one that didn't pass the checks is held."""
    for result in results:
        row = _result_row(job, result, now)
        session.add(row)
        session.flush()  # numbers it
        wanting = [name for name, profile in profiles.items() if profile.wants(result.builder, result.edition)]
        session.add_all(delivery_row(row, destination, now) for destination in wanting)


def _result_row(job: ClaimedJob, result: NewResult, now: datetime) -> ResultRow:
    return ResultRow(
        job_id=job.id,
        builder=result.builder,
        edition=result.edition,
        number=result.number,
        fault=result.fault,
        sop_class_uid=result.sop_class_uid,
        sop_instance_uid=result.sop_instance_uid,
        series_instance_uid=result.series_instance_uid,
        path=str(result.path),
        sha256=result.sha256,
        created_at=now,
    )


def results_of(session: Session, job_id: int) -> tuple[NewResult, ...]:
    rows = session.scalars(select(ResultRow).where(ResultRow.job_id == job_id).order_by(ResultRow.id))
    return tuple(_result(row) for row in rows)


def _result(row: ResultRow) -> NewResult:
    return NewResult(
        row.builder,
        row.sop_class_uid,
        row.sop_instance_uid,
        row.series_instance_uid,
        Path(row.path),
        row.sha256,
        row.edition,
        row.number,
        row.fault,
    )


def summaries(session: Session, chosen: Select[Any]) -> list[JobSummary]:
    """The jobs of a choice among SUMMARY's columns."""
    return [JobSummary(*row) for row in session.execute(chosen)]


def _count_deliveries(*wanted: ColumnElement[bool]) -> ColumnElement[int]:
    return select(func.count(DeliveryRow.id)).where(DeliveryRow.job_id == JobRow.id, *wanted).correlate(JobRow).scalar_subquery()


_COUNTS = {  # without those that others go instead of
    "delivered": _count_deliveries(DeliveryRow.state.in_(DELIVERY_DONE - {DeliveryState.REPLACED})),
    "deliveries": _count_deliveries(DeliveryRow.state != DeliveryState.REPLACED),
}
SUMMARY = tuple(_COUNTS[field.name] if field.name in _COUNTS else getattr(JobRow, field.name) for field in fields(JobSummary))
