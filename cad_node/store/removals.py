"""What is taken away to keep room: rows first, files after them.

A transaction takes the rows away and lists their files; then the files are unlinked, and the list forgets them. Whatever dies in
between, no row names a file that has gone, and no file is forgotten. The other way round a late image or a retry would find holes.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Integer, Row, Select, case, delete, exists, false, func, literal, not_, or_, select, update
from sqlalchemy.orm import Session

from cad_node.lifecycle import DELIVERY_DONE, JOB_ENDED, DeliveryState, StudyState
from cad_node.retention import Kind, Stored
from cad_node.store.database import Database
from cad_node.store.listed_files import list_files
from cad_node.store.tables import ConflictRow, DeliveryRow, InstanceRow, JobRow, ResultRow, StudyRow

_DELIVERY_OVER = DELIVERY_DONE | {DeliveryState.CANCELLED, DeliveryState.HELD}  # delivered, given up by an admin, or never to go
_UNDELIVERED = "a delivery isn't done"
_Choice = Select[*tuple[Any, ...]]  # of Stored's study_instance_uid, number, since and held_by


class Removals:
    """The choice of what may go, and its going."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def oldest(self, kind: Kind, before: datetime | None, limit: int, *, held: bool = False) -> list[Stored]:
        """The oldest of a kind that are there and may go; held: instead those that may not yet, with the reason.

        before: only those from before it; None: of any age.
        """
        query = _QUERIES[kind](before, held).limit(limit)
        with self._database.reading() as session:
            return [_stored(session, kind, row) for row in session.execute(query)]

    def remove(self, stored: Stored, now: datetime) -> bool:
        """Take the rows away and list the files; False: it is gone, or a job or a delivery needs it since it was chosen."""
        with self._database.transaction() as session:
            _lock(session, stored)
            if not _may_go(session, stored):
                return False
            list_files(session, _paths(stored.kind, stored.study_instance_uid, stored.number), now)
            _take_away_rows(session, stored, now)
            return True


def without_inputs(session: Session, jobs: Sequence[JobRow]) -> set[int]:
    """The numbers of those jobs whose images were removed.

    The jobs' rows are locked: a removal that was before is seen here, and one that comes after sees what becomes of the jobs.
    """
    removed = (
        select(JobRow.id)
        .join(StudyRow, StudyRow.study_instance_uid == JobRow.study_instance_uid)
        .where(JobRow.id.in_([job.id for job in jobs]), JobRow.revision <= StudyRow.removed_revision)
    )
    return set(session.scalars(removed))


def _inputs(before: datetime | None, held: bool) -> _Choice:
    of_study = JobRow.study_instance_uid == StudyRow.study_instance_uid
    conditions = {
        "it is still being received": StudyRow.state != StudyState.COMPLETE,
        "a job hasn't ended": exists().where(of_study, JobRow.state.not_in(JOB_ENDED)),
        _UNDELIVERED: exists().where(of_study, DeliveryRow.job_id == JobRow.id, DeliveryRow.state.not_in(_DELIVERY_OVER)),
    }
    chosen = select(StudyRow.study_instance_uid, literal(None, Integer).label("number"), StudyRow.last_instance_at.label("since"))
    return _chosen(chosen.where(StudyRow.removed_at.is_(None)), conditions, before, held)


def _results(before: datetime | None, held: bool) -> _Choice:
    conditions = {
        "its job hasn't ended": JobRow.state.not_in(JOB_ENDED),
        _UNDELIVERED: exists().where(DeliveryRow.job_id == JobRow.id, DeliveryRow.state.not_in(_DELIVERY_OVER)),
        "no destination was to get it, and nobody else has it": ~exists().where(DeliveryRow.job_id == JobRow.id),
    }
    there = select(ResultRow.job_id, func.min(ResultRow.created_at).label("since")).where(ResultRow.removed_at.is_(None))
    made = there.group_by(ResultRow.job_id).subquery()
    chosen = select(JobRow.study_instance_uid, JobRow.id.label("number"), made.c.since).join(made, made.c.job_id == JobRow.id)
    return _chosen(chosen, conditions, before, held)


def _conflicts(before: datetime | None, held: bool) -> _Choice:
    """What nothing reads is never held."""
    chosen = select(ConflictRow.study_instance_uid, ConflictRow.id.label("number"), ConflictRow.received_at.label("since"))
    return _chosen(chosen, {"": false()}, before, held)


_QUERIES: Mapping[Kind, Callable[[datetime | None, bool], _Choice]] = {
    Kind.INPUTS: _inputs,
    Kind.RESULTS: _results,
    Kind.CONFLICT: _conflicts,
}


def _chosen(of_kind: _Choice, conditions: Mapping[str, ColumnElement[bool]], before: datetime | None, held: bool) -> _Choice:
    """Those that no condition holds, or those that one does; the oldest first."""
    why = case(*((condition, reason) for reason, condition in conditions.items()), else_="")
    since = of_kind.selected_columns["since"]
    is_held = or_(*conditions.values())
    chosen = of_kind.add_columns(why.label("held_by")).where(is_held if held else not_(is_held))
    return (chosen if before is None else chosen.where(since < before)).order_by(since)


def _stored(session: Session, kind: Kind, row: Row[*tuple[Any, ...]]) -> Stored:
    sizes = [_size_bytes(path) for path in session.scalars(_paths(kind, row.study_instance_uid, row.number))]
    return Stored(kind, row.study_instance_uid, row.number, row.since, len(sizes), sum(sizes), row.held_by)


def _paths(kind: Kind, study_instance_uid: str, number: int | None) -> Select[str]:
    match kind:
        case Kind.INPUTS:
            return select(InstanceRow.path).where(InstanceRow.study_instance_uid == study_instance_uid)
        case Kind.RESULTS:
            return select(ResultRow.path).where(ResultRow.job_id == number, ResultRow.removed_at.is_(None))
        case Kind.CONFLICT:
            return select(ConflictRow.path).where(ConflictRow.id == number)


def _size_bytes(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:  # gone by other hands: what is left of it can go all the same
        return 0


def _lock(session: Session, stored: Stored) -> None:
    """Lock what a removal depends on: an instance that comes, a job that is tried again, a delivery that is sent again.

    Only rows that are changed are kept waiting, not those that name them: who writes an event of a job goes on.
    """
    of_kind = JobRow.study_instance_uid == stored.study_instance_uid
    if stored.kind is Kind.RESULTS:
        of_kind = JobRow.id == stored.number
    study = select(StudyRow.revision).where(StudyRow.study_instance_uid == stored.study_instance_uid)
    session.execute(study.with_for_update(key_share=True))
    jobs = session.scalars(select(JobRow.id).where(of_kind).order_by(JobRow.id).with_for_update(key_share=True)).all()
    deliveries = select(DeliveryRow.id).where(DeliveryRow.job_id.in_(jobs)).order_by(DeliveryRow.id)
    session.execute(deliveries.with_for_update(key_share=True))


def _may_go(session: Session, stored: Stored) -> bool:
    free = _QUERIES[stored.kind](None, False)
    study, number = (free.selected_columns[name] for name in ("study_instance_uid", "number"))
    return session.execute(free.where(study == stored.study_instance_uid, number.is_not_distinct_from(stored.number))).first() is not None


def _take_away_rows(session: Session, stored: Stored, now: datetime) -> None:
    match stored.kind:
        case Kind.INPUTS:
            study = session.get_one(StudyRow, stored.study_instance_uid)
            study.removed_at, study.removed_revision = now, study.revision
            session.execute(delete(InstanceRow).where(InstanceRow.study_instance_uid == stored.study_instance_uid))
        case Kind.RESULTS:  # the row stays: what this node made isn't taken for input when it comes back
            session.execute(update(ResultRow).where(ResultRow.job_id == stored.number).values(removed_at=now))
        case Kind.CONFLICT:
            session.execute(delete(ConflictRow).where(ConflictRow.id == stored.number))
