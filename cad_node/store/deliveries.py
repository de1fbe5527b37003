"""The outbox: each result for each destination, claimed by one sender at a time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from cad_node.errors import LeaseLost, Removed, UnknownRow
from cad_node.lifecycle import DELIVERY_MOVES, DeliveryState, JobState, move, sources
from cad_node.store.database import Database
from cad_node.store.delivery_rows import NEVER_SUPERSEDED, Substitute, substitute
from cad_node.store.events import ADMIN, SUPERVISOR, arc, record
from cad_node.store.tables import DeliveryRow, JobRow, ResultRow


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    id: int
    fence: int
    job_id: int
    study_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    path: Path
    attempt: int  # counts from 1
    builder: str  # that made the object


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    id: int
    job_id: int
    destination: str
    state: DeliveryState
    attempt: int
    builder: str
    sop_class_uid: str
    sop_instance_uid: str
    reason: str
    run_after: datetime
    created_at: datetime
    delivered_at: datetime | None
    committed_at: datetime | None


_OF_THE_RESULT = frozenset({"builder", "sop_class_uid", "sop_instance_uid"})


_TAKING_PLACE = (JobState.RUNNING, JobState.DONE)


class Deliveries:
    """The rows of the outbox, and the moves that change them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, destination: str, sender: str, now: datetime, lease_s: float, limit: int) -> list[ClaimedDelivery]:
        """Take up to `limit` due deliveries to one destination, oldest first, for `lease_s` seconds.

        Results wait while a later run is about to take their place; once it has, their deliveries are cancelled.
        """
        states = before, after = arc(DELIVERY_MOVES, "claim")
        due = aliased(DeliveryRow)
        oldest = (
            select(due.id)
            .where(due.state == before, due.destination == destination, due.run_after <= now, ~_superseded(due, _TAKING_PLACE))
            .order_by(due.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")  # evaluated once: as a plain subquery PostgreSQL may run it again for each row and lock more than `limit`
        )
        values = {
            "state": after,
            "sender": sender,
            "lease_until": now + timedelta(seconds=lease_s),
            "fence": DeliveryRow.fence + 1,
            "attempt": DeliveryRow.attempt + 1,
        }
        taken = update(DeliveryRow).where(DeliveryRow.id.in_(select(oldest.c.id))).values(values).returning(DeliveryRow.id)
        with self._database.transaction() as session:
            _cancel_superseded(session, destination, now)
            ids = session.scalars(taken).all()
            claims = _claimed(session, ids)
            for claim in claims:
                record(session, claim.job_id, "claim", states, actor=sender, now=now, delivery_id=claim.id)
            return claims

    def heartbeat(self, claims: Sequence[ClaimedDelivery], now: datetime, lease_s: float) -> None:
        """Extend the leases of those that this sender hasn't settled yet. Raises LeaseLost if one was taken away."""
        lost = []
        with self._database.transaction() as session:
            for claim in sorted(claims, key=lambda claim: claim.id):
                row = session.scalars(select(DeliveryRow).where(DeliveryRow.id == claim.id).with_for_update()).one()
                if row.fence != claim.fence:
                    lost.append(claim.id)
                elif row.lease_until is not None:
                    row.lease_until = now + timedelta(seconds=lease_s)
        if lost:
            raise LeaseLost(f"deliveries {', '.join(map(str, lost))} were given to another sender; stop sending them")

    def deliver(self, claim: ClaimedDelivery, reason: str, now: datetime) -> None:
        """The destination has it. Raises LeaseLost."""
        self._settle(claim, "deliver", now, detail=reason, reason=reason, delivered_at=now)

    def accept(self, claim: ClaimedDelivery, reason: str, now: datetime) -> None:
        """The destination took it; that it keeps it is to be confirmed, from now on. Raises LeaseLost."""
        self._settle(claim, "accept", now, detail=reason, reason=reason, delivered_at=now, run_after=now, asks=0)

    def back_off(self, claim: ClaimedDelivery, reason: str, run_after: datetime, now: datetime) -> None:
        """It didn't work; try again after `run_after`. Raises LeaseLost."""
        self._settle(claim, "back_off", now, detail=reason, reason=reason, run_after=run_after)

    def release(self, claim: ClaimedDelivery, now: datetime) -> None:
        """Give it back unsent, due at once; the claim doesn't count as an attempt. Raises LeaseLost."""
        self._settle(claim, "release", now, attempt=DeliveryRow.attempt - 1)

    def fail(self, claim: ClaimedDelivery, reason: str, now: datetime) -> None:
        """The destination will never take it. Raises LeaseLost."""
        self._settle(claim, "fail", now, detail=reason, reason=reason)

    def replace(self, claim: ClaimedDelivery, substitutes: Sequence[Substitute], reason: str, now: datetime) -> str:
        """The destination takes no such object: the first of the substitutes goes that can, or this fails. Raises LeaseLost.

        reason: that, as the beginning of a sentence. Returns the name of what goes; empty: nothing does.
        """
        job = select(JobRow.id).where(JobRow.id == claim.job_id).with_for_update(key_share=True)  # two may be replaced by the same
        with self._database.transaction() as session:
            session.execute(job)
            refused = session.get_one(DeliveryRow, claim.id)
            instead, lacking = substitute(session, refused, substitutes, now, reason=f"instead of {claim.builder}")
            told = "; ".join([reason, *lacking, f"{instead} goes instead" if instead else "nothing shows about the same instead"])
            _settle(session, claim, "replace" if instead else "fail", now, detail=told, reason=told)
            return instead

    def lose_expired(self, now: datetime) -> list[int]:
        """Give back what senders hold beyond their leases. Returns the deliveries' ids."""
        return _lose(self._database, DeliveryRow.lease_until < now, now)

    def lose_sender(self, sender: str, now: datetime) -> list[int]:
        """Give back what a dead sender held. Returns the deliveries' ids."""
        return _lose(self._database, DeliveryRow.sender == sender, now)

    def retry(self, job_id: int, now: datetime) -> int:
        """Send a job's failed, cancelled, replaced and backed-off deliveries at once. Returns how many. Raises UnknownRow, Removed."""
        ended = (DeliveryState.FAILED, DeliveryState.CANCELLED, DeliveryState.REPLACED)
        wanted = or_(DeliveryRow.state.in_(ended), _backed_off(now))
        with self._database.transaction() as session:
            _require_results(session, job_id)
            return _retry(session, now, DeliveryRow.job_id == job_id, wanted)

    def retry_all(self, now: datetime, destination: str | None = None) -> int:
        """Send all failed and backed-off deliveries at once, and ask about the unconfirmed, of one destination or of every one.

        What an admin cancelled stays so. Returns how many.
        """
        wanted = or_(DeliveryRow.state == DeliveryState.FAILED, _backed_off(now))
        with self._database.transaction() as session:
            return _retry(session, now, wanted, *([] if destination is None else [DeliveryRow.destination == destination]))

    def cancel(self, job_id: int, now: datetime) -> int:
        """Cancel what isn't done of a job's deliveries, those that failed too. Returns how many. Raises UnknownRow."""
        allowed = DeliveryRow.state.in_(sources(DELIVERY_MOVES, "cancel"))
        with self._database.transaction() as session:
            _require_job(session, job_id)
            return len(_steer(session, "cancel", now, DeliveryRow.job_id == job_id, allowed))

    def list(self, job_id: int | None = None, state: DeliveryState | None = None, limit: int = 100) -> list[DeliverySummary]:
        """The newest deliveries first."""
        wanted = [DeliveryRow.job_id == job_id] if job_id is not None else []
        wanted += [DeliveryRow.state == state] if state is not None else []
        with self._database.reading() as session:
            return _summaries(session, wanted, DeliveryRow.id.desc(), limit)

    def pending(self) -> int:
        """How many are neither delivered, or committed where that is asked for, nor given up."""
        unsettled = (*sources(DELIVERY_MOVES, "claim"), *sources(DELIVERY_MOVES, "deliver"), *sources(DELIVERY_MOVES, "commit"))
        with self._database.reading() as session:
            return session.scalars(select(func.count()).where(DeliveryRow.state.in_(unsettled))).one()

    def _settle(self, claim: ClaimedDelivery, event: str, now: datetime, *, detail: str = "", **changes: Any) -> None:
        with self._database.transaction() as session:
            _settle(session, claim, event, now, detail=detail, **changes)


def _superseded(delivery: type[DeliveryRow], states: Collection[JobState]) -> ColumnElement[bool]:
    """Whether a job in one of these states takes the place of the one that the delivery is of."""
    made, of, by = aliased(ResultRow), aliased(JobRow), aliased(JobRow)
    replaceable = made.id == delivery.result_id, made.builder.not_in(NEVER_SUPERSEDED)
    return exists().where(*replaceable, of.id == made.job_id, by.id == of.superseded_by, by.state.in_(states))


def _cancel_superseded(session: Session, destination: str, now: datetime) -> None:
    """What was being sent when its run was superseded, and came back unsent."""
    before, _ = arc(DELIVERY_MOVES, "claim")
    left = select(DeliveryRow).where(
        DeliveryRow.state == before, DeliveryRow.destination == destination, _superseded(DeliveryRow, (JobState.DONE,))
    )
    for row in session.scalars(left.order_by(DeliveryRow.id).with_for_update(skip_locked=True)).all():
        row.state, row.reason = move(DELIVERY_MOVES, row.state, "cancel"), "superseded by a later run"
        record(session, row.job_id, "cancel", (before, row.state), actor=SUPERVISOR, now=now, delivery_id=row.id, detail=row.reason)


def deliveries_of(session: Session, job_id: int) -> tuple[DeliverySummary, ...]:
    """Every delivery of one job."""
    return tuple(_summaries(session, [DeliveryRow.job_id == job_id], DeliveryRow.id.asc(), None))


def _claimed(session: Session, ids: Sequence[int]) -> list[ClaimedDelivery]:
    rows = session.execute(
        select(DeliveryRow, ResultRow, JobRow.study_instance_uid)
        .join(ResultRow, ResultRow.id == DeliveryRow.result_id)
        .join(JobRow, JobRow.id == DeliveryRow.job_id)
        .where(DeliveryRow.id.in_(ids))
        .order_by(DeliveryRow.id)
    )
    return [
        ClaimedDelivery(
            row.id,
            row.fence,
            row.job_id,
            study,
            result.sop_class_uid,
            result.sop_instance_uid,
            Path(result.path),
            row.attempt,
            result.builder,
        )
        for row, result, study in rows
    ]


def _settle(session: Session, claim: ClaimedDelivery, event: str, now: datetime, *, detail: str = "", **changes: Any) -> None:
    """One move of a delivery by the sender that holds it."""
    states = before, after = arc(DELIVERY_MOVES, event)
    held = (DeliveryRow.id == claim.id, DeliveryRow.state == before, DeliveryRow.fence == claim.fence)
    moved = update(DeliveryRow).where(*held).values(state=after, lease_until=None, **changes)
    sender = session.scalar(moved.returning(DeliveryRow.sender))
    if sender is None:
        raise LeaseLost(f"delivery {claim.id} was given to another sender; this {event} is discarded")
    record(session, claim.job_id, event, states, actor=sender, now=now, delivery_id=claim.id, detail=detail)


def _require_job(session: Session, job_id: int) -> None:
    if session.get(JobRow, job_id) is None:
        raise UnknownRow(f"no job {job_id}")


def _require_results(session: Session, job_id: int) -> None:
    """The job's row is locked: what it made isn't removed meanwhile."""
    if session.scalar(select(JobRow.id).where(JobRow.id == job_id).with_for_update()) is None:
        raise UnknownRow(f"no job {job_id}")
    if removed_at := session.scalar(select(func.max(ResultRow.removed_at)).where(ResultRow.job_id == job_id)):
        raise Removed(f"job {job_id}: its results were removed on {removed_at:%Y-%m-%d}; send the study again, it gets a new job")


def _backed_off(now: datetime) -> ColumnElement[bool]:
    return and_(DeliveryRow.state.in_((DeliveryState.PENDING, DeliveryState.UNCONFIRMED)), DeliveryRow.run_after > now)


def _retry(session: Session, now: datetime, *wanted: ColumnElement[bool]) -> int:
    rows = _steer(session, "retry", now, *wanted)
    for row in rows:
        row.reason, row.run_after, row.asks = "", now, 0
        if row.state == DeliveryState.PENDING:
            row.attempt, row.resends = 0, 0
    return len(rows)


def _steer(session: Session, event: str, now: datetime, *wanted: ColumnElement[bool]) -> Sequence[DeliveryRow]:
    """One move of each wanted row by an admin."""
    rows = session.scalars(select(DeliveryRow).where(*wanted).order_by(DeliveryRow.id).with_for_update()).all()
    for row in rows:
        before, row.state = row.state, move(DELIVERY_MOVES, row.state, event)
        record(session, row.job_id, event, (before, row.state), actor=ADMIN, now=now, delivery_id=row.id)
    return rows


def _lose(database: Database, lost: ColumnElement[bool], now: datetime) -> list[int]:
    states = before, after = arc(DELIVERY_MOVES, "lose")
    held = select(DeliveryRow).where(DeliveryRow.state == before, lost).order_by(DeliveryRow.id).with_for_update(skip_locked=True)
    with database.transaction() as session:
        rows = session.scalars(held).all()
        for row in rows:
            row.state, row.fence, row.lease_until = after, row.fence + 1, None
            record(session, row.job_id, "lose", states, actor=SUPERVISOR, now=now, delivery_id=row.id, detail=f"{row.sender} is gone")
        return [row.id for row in rows]


def _summaries(
    session: Session, wanted: Sequence[ColumnElement[bool]], order: ColumnElement[Any], limit: int | None
) -> list[DeliverySummary]:
    columns = [getattr(ResultRow if field.name in _OF_THE_RESULT else DeliveryRow, field.name) for field in fields(DeliverySummary)]
    joined = select(*columns).join(ResultRow, ResultRow.id == DeliveryRow.result_id).where(*wanted).order_by(order).limit(limit)
    return [DeliverySummary(*row) for row in session.execute(joined)]
