"""The run whose place a job takes: the last that ended with results, of an earlier revision of the study and by the same model.

What that run had taken the place of, it has rejected itself. A run of which anything is held back takes nobody's place yet:
what it would have rejected stays, and falls to the next.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session, aliased

from cad_node.lifecycle import DELIVERY_MOVES, JOB_MOVES, DeliveryState, move
from cad_node.store.delivery_rows import NEVER_SUPERSEDED
from cad_node.store.events import SUPERVISOR, arc, record
from cad_node.store.job_rows import results_of
from cad_node.store.job_values import ClaimedJob, SupersededResult
from cad_node.store.tables import DeliveryRow, JobRow, ResultRow

_SENT = (DeliveryState.SENDING, DeliveryState.DELIVERED, DeliveryState.UNCONFIRMED, DeliveryState.COMMITTED)
_TO_BE_SENT = (DeliveryState.PENDING, DeliveryState.FAILED)  # now, or once an admin wants it


def take_place(session: Session, job: ClaimedJob) -> list[int]:
    """From now on those runs' deliveries aren't begun: until the job has ended, and if it is done never, Deliveries.claim().

    Returns the numbers of their jobs.
    """
    predecessors = _predecessors(session, job)
    for earlier in predecessors:
        earlier.superseded_by = job.id
    return [earlier.id for earlier in predecessors]


def give_place_back(session: Session, job: ClaimedJob) -> None:
    """Something of the job's is held back: what it would have taken the place of stands."""
    session.execute(update(JobRow).where(JobRow.superseded_by == job.id).values(superseded_by=None))


def superseded_results(session: Session, job: ClaimedJob) -> tuple[SupersededResult, ...]:
    """What those runs made and passed the checks, the latest run's first."""
    made = [result for earlier in _predecessors(session, job) for result in results_of(session, earlier.id)]
    standing = [result for result in made if not result.fault and result.builder not in NEVER_SUPERSEDED]
    there = _destinations(session, [result.sop_instance_uid for result in standing])
    return tuple(SupersededResult(result, there.get(result.sop_instance_uid, frozenset())) for result in standing)


def cancel_superseded(session: Session, job: ClaimedJob, now: datetime) -> None:
    """Cancel what waits of those runs' deliveries, and what failed, which an admin may have sent again: the job's own results go instead.

    What was being sent meanwhile is rejected with the rest, or if it comes back unsent cancelled when it is next due.
    """
    reason = f"superseded by job {job.id}"
    superseded = select(ResultRow.id).where(ResultRow.job_id.in_(take_place(session, job)), ResultRow.builder.not_in(NEVER_SUPERSEDED))
    due = select(DeliveryRow).where(DeliveryRow.result_id.in_(superseded), DeliveryRow.state.in_(_TO_BE_SENT))
    for row in session.scalars(due.order_by(DeliveryRow.id).with_for_update()).all():
        before, row.state, row.reason = row.state, move(DELIVERY_MOVES, row.state, "cancel"), reason
        record(session, row.job_id, "cancel", (before, row.state), actor=SUPERVISOR, now=now, delivery_id=row.id, detail=reason)


def _destinations(session: Session, sop_instance_uids: Sequence[str]) -> Mapping[str, frozenset[str]]:
    """SOP Instance UID -> the destinations that have it, or are being sent it."""
    sent = (
        select(ResultRow.sop_instance_uid, DeliveryRow.destination)
        .join(DeliveryRow, DeliveryRow.result_id == ResultRow.id)
        .where(ResultRow.sop_instance_uid.in_(sop_instance_uids), DeliveryRow.state.in_(_SENT))
    )
    there: dict[str, frozenset[str]] = {}
    for uid, destination in session.execute(sent):
        there[uid] = there.get(uid, frozenset()) | {destination}
    return there


def _predecessors(session: Session, job: ClaimedJob) -> list[JobRow]:
    """The run before, and those before it as long as something was held back of that which would have taken the other's place."""
    found: list[JobRow] = []
    current: ClaimedJob | JobRow = job
    while earlier := _predecessor(session, current):
        found.append(earlier)
        current = earlier
        if not any(result.fault for result in results_of(session, earlier.id)):  # whether it has a rejection or not
            break
    return found


def _predecessor(session: Session, job: ClaimedJob | JobRow) -> JobRow | None:
    """Of any version; but not of one that runs beside the job's on its very revision, for that supersedes its own."""
    beside = aliased(JobRow)
    of_model = JobRow.study_instance_uid == job.study_instance_uid, JobRow.model_name == job.model_name
    runs_beside = exists().where(
        beside.study_instance_uid == job.study_instance_uid,
        beside.revision == job.revision,
        beside.model_name == job.model_name,
        beside.model_version == JobRow.model_version,
        beside.id != job.id,
    )
    _, done = arc(JOB_MOVES, "finish")
    earlier = select(JobRow).where(*of_model, JobRow.revision < job.revision, JobRow.state == done, ~runs_beside)
    own_version_last = sorted(session.scalars(earlier), key=lambda row: (row.revision, row.model_version == job.model_version, row.id))
    return own_version_last[-1] if own_version_last else None
