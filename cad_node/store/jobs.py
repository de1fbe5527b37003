"""The job table: claimed by one worker at a time, left only by the moves of lifecycle.JOB_MOVES."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, literal, select, tuple_, update
from sqlalchemy.orm import Session, aliased

from cad_node.errors import LeaseLost, Removed, UnknownRow
from cad_node.lifecycle import JOB_MOVES, IllegalMove, JobState, move, sources
from cad_node.objects import Profile
from cad_node.store.database import Database
from cad_node.store.deliveries import deliveries_of
from cad_node.store.events import ADMIN, SUPERVISOR, arc, events_of, record
from cad_node.store.job_rows import SUMMARY, add_results, cancel, results_of, steer, summaries
from cad_node.store.job_values import ClaimedJob, JobDetail, JobSummary, NewResult, SupersededResult
from cad_node.store.predecessors import cancel_superseded, give_place_back, superseded_results, take_place
from cad_node.store.removals import without_inputs
from cad_node.store.tables import JobRow, UtcDateTime

__all__ = ["ClaimedJob", "JobDetail", "JobSummary", "Jobs", "NewResult"]

_SAME_WORK = ("study_instance_uid", "model_name", "model_version")


class Jobs:
    """The rows of the job table, and the moves that change them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self, worker: str, models: Collection[tuple[str, str]], now: datetime, lease_s: float, *, suspects: bool = True
    ) -> ClaimedJob | None:
        """Take the due job of highest priority, oldest first, for `lease_s` seconds.

        A job waits for one of an earlier revision that the same model is running, whose place it will take.
        models: (name, version) of those this worker runs.
        suspects: whether to take jobs that have lost a worker before; such a job is run alone, so that nothing beside it is blamed.
        """
        states = before, after = arc(JOB_MOVES, "claim")
        values = {
            "state": after,
            "worker": worker,
            "lease_until": now + timedelta(seconds=lease_s),
            "fence": JobRow.fence + 1,
            "attempt": JobRow.attempt + 1,
            "started_at": func.coalesce(JobRow.started_at, literal(now, UtcDateTime())),
        }
        columns = [getattr(JobRow, field.name) for field in fields(ClaimedJob)]
        first = _first_due(before, models, now, suspects)
        with self._database.transaction() as session:
            row = session.execute(update(JobRow).where(JobRow.id == first.scalar_subquery()).values(values).returning(*columns)).first()
            if row is None:
                return None
            job = ClaimedJob(*row)
            record(session, job.id, "claim", states, actor=worker, now=now)
            return job

    def heartbeat(self, job: ClaimedJob, now: datetime, lease_s: float) -> None:
        """Extend the lease. Raises LeaseLost."""
        running, _ = arc(JOB_MOVES, "finish")
        extended = update(JobRow).where(*_held(job, running)).values(lease_until=now + timedelta(seconds=lease_s))
        with self._database.transaction() as session:
            if session.scalar(extended.returning(JobRow.id)) is None:
                raise LeaseLost(f"job {job.id} was given to another worker or cancelled; stop working on it")

    def superseded(self, job: ClaimedJob) -> tuple[SupersededResult, ...]:
        """The results whose place those of this job will take; they aren't sent from now on, unless it ends without results."""
        with self._database.transaction() as session:
            take_place(session, job)
        with self._database.reading() as session:
            return superseded_results(session, job)

    def finish(
        self,
        job: ClaimedJob,
        results: Sequence[NewResult],
        profiles: Mapping[str, Profile],
        now: datetime,
        *,
        timings_s: Mapping[str, float] | None = None,
        remarks: str = "",
    ) -> None:
        """Done: its results, and a delivery of each to each destination that wants it, in one transaction. Raises LeaseLost.

        Deliveries that still wait of the results whose place these take are cancelled, unless any of these is held back.
        remarks: what a reader of the results should know; shown as the job's reason.
        """
        with self._database.transaction() as session:
            _leave(session, job, "finish", now, finished_at=now, reason_code="", reason=remarks, timings_s=dict(timings_s or {}))
            add_results(session, job, results, profiles, now)
            if any(result.fault for result in results):
                give_place_back(session, job)
            else:
                cancel_superseded(session, job, now)

    def refuse(  # noqa: PLR0917 - as finish, and why
        self,
        job: ClaimedJob,
        code: str,
        sentence: str,
        now: datetime,
        results: Sequence[NewResult] = (),
        profiles: Mapping[str, Profile] = MappingProxyType({}),
    ) -> None:
        """The model can't take this study: results that say so, and their deliveries, in one transaction. Raises LeaseLost.

        A job that an admin tries again and that is refused again adds none: its first refusal was told.
        """
        with self._database.transaction() as session:
            _leave(session, job, "refuse", now, detail=sentence, finished_at=now, reason_code=code, reason=sentence)
            if not results_of(session, job.id):
                add_results(session, job, results, profiles, now)

    def back_off(self, job: ClaimedJob, reason: str, run_after: datetime, now: datetime) -> None:
        """It failed; try again after `run_after`, unless a later revision is on. Raises LeaseLost."""
        with self._database.transaction() as session:
            _leave(session, job, "back_off", now, detail=reason, run_after=run_after, reason=reason)
            _give_way(session, _locked(session, job.id), now)

    def fail(self, job: ClaimedJob, reason: str, now: datetime) -> None:
        """It failed for the last time. Raises LeaseLost."""
        with self._database.transaction() as session:
            _leave(session, job, "fail", now, detail=reason, finished_at=now, reason=reason)

    def release(self, job: ClaimedJob, now: datetime) -> None:
        """Give it back untouched; the claim doesn't count as an attempt. Raises LeaseLost."""
        with self._database.transaction() as session:
            _leave(session, job, "release", now, attempt=JobRow.attempt - 1)
            _give_way(session, _locked(session, job.id), now)

    def lose_expired(self, now: datetime, max_attempts: int) -> list[int]:
        """Take back the jobs whose lease is over. Returns their ids.

        A lease also runs out while the database is away or the clock jumps: it proves no crash, so that it counts none.
        """
        return _take_back(self._database, JobRow.lease_until < now, lambda session, row: _expire(session, row, now, max_attempts))

    def lose_worker(self, worker: str, now: datetime, max_crashes: int) -> list[int]:
        """Take back what a worker held that is known to be dead; each of these jobs has crashed once more. Returns the jobs' ids."""
        return _take_back(self._database, JobRow.worker == worker, lambda session, row: _crash(session, row, now, max_crashes))

    def cancel(self, job_id: int, now: datetime) -> None:
        """Cancel a queued or running job; its worker's result will be discarded. Raises UnknownRow, IllegalMove."""
        with self._database.transaction() as session:
            cancel(session, _locked(session, job_id), now)

    def retry(self, job_id: int, now: datetime) -> None:
        """Queue a job that ended without result again, as if it were new: its results will bear the times of the new run.

        One that is queued already is due at once, with what is left of its attempts. Raises UnknownRow, IllegalMove, Removed.
        """
        with self._database.transaction() as session:
            row = _locked(session, job_id)
            if without_inputs(session, [row]):
                uid = row.study_instance_uid
                raise Removed(f"job {job_id}: the images of study {uid} have been removed; send it again, it gets a new job")
            if row.state is not JobState.QUEUED and session.scalar(select(JobRow.id).where(JobRow.id == job_id, _later_job())):
                why = f"a later revision of study {row.study_instance_uid} has a job of the same model, whose results count"
                raise IllegalMove(f"job {job_id}: {why}; retry that one, or run the model anew by `cad-node studies analyse`")
            _retry(session, row, now)

    def retry_all(self, state: JobState, now: datetime) -> int:
        """Retry every job in `state` whose images are there and whose study has had no later job of the same model. Returns how many.

        QUEUED: those that wait for their next attempt. Raises IllegalMove if no job in `state` can be retried.
        """
        move(JOB_MOVES, state, "retry")
        wanted = [JobRow.state == state, ~_later_job()]
        if state is JobState.QUEUED:
            wanted.append(JobRow.run_after > now)
        chosen = select(JobRow).where(*wanted).order_by(JobRow.id).with_for_update()
        with self._database.transaction() as session:
            rows = session.scalars(chosen).all()
            gone = without_inputs(session, rows)
            wanted_again = [row for row in rows if row.id not in gone]
            for row in wanted_again:
                _retry(session, row, now)
            return len(wanted_again)

    def set_priority(self, job_id: int, priority: int, now: datetime) -> None:
        """Move a queued job forward or back; higher runs earlier. Raises UnknownRow, IllegalMove."""
        with self._database.transaction() as session:
            row = _locked(session, job_id)
            if (row.state, "claim") not in JOB_MOVES:
                raise IllegalMove(f"job {job_id} is {row.state}: only a queued job's priority matters")
            detail = f"{row.priority} -> {priority}"
            record(session, job_id, "set_priority", (row.state, row.state), actor=ADMIN, now=now, detail=detail)
            row.priority = priority

    def show(self, job_id: int) -> JobDetail:
        """Everything about one job. Raises UnknownRow."""
        with self._database.reading() as session:
            found = summaries(session, select(*SUMMARY).where(JobRow.id == job_id))
            if not found:
                raise UnknownRow(f"no job {job_id}")
            return JobDetail(found[0], events_of(session, job_id), results_of(session, job_id), deliveries_of(session, job_id))

    def list(self, state: JobState | None = None, limit: int = 100) -> list[JobSummary]:
        """The newest jobs first."""
        newest = select(*SUMMARY).order_by(JobRow.id.desc()).limit(limit)
        with self._database.reading() as session:
            return summaries(session, newest if state is None else newest.where(JobRow.state == state))

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        with self._database.reading() as session:
            counted = dict(session.execute(select(JobRow.state, func.count()).group_by(JobRow.state)).all())
        return {state: counted.get(state, 0) for state in JobState}


def _first_due(state: JobState, models: Collection[tuple[str, str]], now: datetime, suspects: bool) -> Select[int]:
    due = aliased(JobRow)
    wanted = tuple_(due.model_name, due.model_version).in_(list(models))
    earlier = aliased(JobRow)
    same = [getattr(earlier, name) == getattr(due, name) for name in ("study_instance_uid", "model_name")]
    runs_before = exists().where(*same, earlier.revision < due.revision, earlier.state.in_(sources(JOB_MOVES, "finish")))
    ready = due.state == state, due.run_after <= now, wanted, ~runs_before
    first = select(due.id).where(*ready).order_by(due.priority.desc(), due.id).limit(1)
    if not suspects:
        first = first.where(due.crashes == 0)
    return first.with_for_update(skip_locked=True)  # SQLite has no such clause and needs none: one writer at a time


def _held(job: ClaimedJob, state: JobState) -> tuple[ColumnElement[bool], ...]:
    return JobRow.id == job.id, JobRow.state == state, JobRow.fence == job.fence


def _leave(session: Session, job: ClaimedJob, event: str, now: datetime, *, detail: str = "", **changes: Any) -> None:
    """One move of a job by the worker that holds it."""
    states = before, after = arc(JOB_MOVES, event)
    left = update(JobRow).where(*_held(job, before)).values(state=after, lease_until=None, **changes)
    worker = session.scalar(left.returning(JobRow.worker))
    if worker is None:
        raise LeaseLost(f"job {job.id} was given to another worker or cancelled; this {event} is discarded")
    record(session, job.id, event, states, actor=worker, now=now, detail=detail)


def _take_back(database: Database, lost: ColumnElement[bool], take_one: Callable[[Session, JobRow], None]) -> list[int]:
    running, _ = arc(JOB_MOVES, "lose")
    held = select(JobRow).where(JobRow.state == running, lost).order_by(JobRow.id).with_for_update(skip_locked=True)
    with database.transaction() as session:
        rows = session.scalars(held).all()
        for row in rows:
            take_one(session, row)
        return [row.id for row in rows]


def _expire(session: Session, row: JobRow, now: datetime, max_attempts: int) -> None:
    if row.attempt < max_attempts:
        _lose(session, row, "lose", f"the lease of {row.worker} ran out", now)
        _give_way(session, row, now)
        return
    _quarantine(session, row, f"its lease ran out; it was begun {row.attempt} times, the last by {row.worker}", now)


def _crash(session: Session, row: JobRow, now: datetime, max_crashes: int) -> None:
    row.crashes += 1
    if row.crashes < max_crashes:
        _lose(session, row, "lose", f"{row.worker} is gone", now)
        _give_way(session, row, now)
        return
    _quarantine(session, row, f"{row.crashes} workers were lost while they ran it, the last was {row.worker}", now)


def _quarantine(session: Session, row: JobRow, reason: str, now: datetime) -> None:
    row.finished_at, row.reason = now, reason
    _lose(session, row, "quarantine", reason, now)


def _lose(session: Session, row: JobRow, event: str, detail: str, now: datetime) -> None:
    row.fence += 1
    row.lease_until, row.run_after = None, now
    steer(session, row, event, now, actor=SUPERVISOR, detail=detail)


def _give_way(session: Session, row: JobRow, now: datetime) -> None:
    """Cancel a job that waits again where the model has one on a later revision, as if it had never begun: it would come after that."""
    later = aliased(JobRow)
    same = [getattr(later, name) == getattr(row, name) for name in _SAME_WORK]
    standing = later.revision > row.revision, later.state.in_((JobState.QUEUED, JobState.RUNNING, JobState.DONE))
    if revision := session.scalar(select(func.max(later.revision)).where(*same, *standing)):
        cancel(session, row, now, actor=SUPERVISOR, reason=f"superseded by revision {revision}")


def _retry(session: Session, row: JobRow, now: datetime) -> None:
    ended = row.state is not JobState.QUEUED
    steer(session, row, "retry", now)
    row.run_after = now
    if ended:
        row.attempt, row.crashes, row.reason_code, row.reason = 0, 0, "", ""
        row.started_at, row.finished_at = None, None


def _later_job() -> ColumnElement[bool]:
    """Whether the model has a job of a later revision of the same study."""
    later = aliased(JobRow)
    same = [getattr(later, name) == getattr(JobRow, name) for name in _SAME_WORK]
    return exists().where(*same, later.revision > JobRow.revision)


def _locked(session: Session, job_id: int) -> JobRow:
    row = session.scalar(select(JobRow).where(JobRow.id == job_id).with_for_update())
    if row is None:
        raise UnknownRow(f"no job {job_id}")
    return row
