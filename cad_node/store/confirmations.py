"""Deliveries that a destination took and hasn't confirmed: claimed to be asked about, and settled by its answers."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, insert, select, update
from sqlalchemy.orm import Session, aliased

from cad_node.commitment import Reference
from cad_node.confirmation import Located
from cad_node.lifecycle import DELIVERY_MOVES, DeliveryState, backoff_s, move
from cad_node.store.database import Database
from cad_node.store.events import arc, record
from cad_node.store.tables import ConfirmationRequestRow, DeliveryRow, JobRow, ResultRow


@dataclass(frozen=True, slots=True)
class Resending:
    """What happens to what a destination doesn't keep."""

    limit: int  # how often it is sent again
    wait_first_s: float
    wait_longest_s: float


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A delivery that is to be asked about."""

    id: int
    job_id: int
    instance: Located
    asks: int  # counts from 1
    delivered_at: datetime


class Confirmations:
    """The moves from an object's being taken to its being kept. None of them needs a fence: an answer is true whoever asked."""

    def __init__(self, database: Database, resending: Mapping[str, Resending]) -> None:
        """resending: by destination."""
        self._database = database
        self._resending = resending

    def claim(self, destination: str, transaction_uid: str, now: datetime, *, actor: str, lease_s: float, limit: int) -> list[Unconfirmed]:
        """Take up to `limit` deliveries that are due to be asked about, oldest first; they are to be asked for as `transaction_uid`.

        After `lease_s` whoever took them must have died, and another may.
        """
        due = aliased(DeliveryRow)
        state, _ = states = arc(DELIVERY_MOVES, "ask")
        oldest = (
            select(due.id)
            .where(due.state == state, due.destination == destination, due.run_after <= now)
            .order_by(due.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        values = {"run_after": now + timedelta(seconds=lease_s), "asks": DeliveryRow.asks + 1}
        taken = update(DeliveryRow).where(DeliveryRow.id.in_(select(oldest.c.id))).values(values).returning(DeliveryRow.id)
        with self._database.transaction() as session:
            claims = _unconfirmed(session, session.scalars(taken).all())
            if claims:
                rows = [{"transaction_uid": transaction_uid, "delivery_id": claim.id, "asked_at": now} for claim in claims]
                session.execute(insert(ConfirmationRequestRow), rows)
            for claim in claims:
                record(session, claim.job_id, "ask", states, actor=actor, now=now, delivery_id=claim.id, detail=transaction_uid)
            return claims

    def ask_again(self, deliveries: Collection[int], reason: str, run_after: datetime) -> None:
        """There is no answer for these yet."""
        state, _ = arc(DELIVERY_MOVES, "ask")
        waiting = update(DeliveryRow).where(DeliveryRow.id.in_(deliveries), DeliveryRow.state == state)
        with self._database.transaction() as session:
            session.execute(waiting.values(reason=reason, run_after=run_after))

    def settle(
        self, transaction_uid: str, committed: Collection[Reference], failed: Mapping[Reference, str], now: datetime, *, actor: str
    ) -> int | None:
        """Apply the answer to a question. Returns how many deliveries it settled; None if nothing was asked under this Transaction UID.

        A failure that is older than the last sending says nothing about it.
        """
        with self._database.transaction() as session:
            asked = session.execute(_asked(transaction_uid).with_for_update(of=DeliveryRow)).all()
            settled = 0
            for row, asked_at, sop_class_uid, sop_instance_uid in asked:
                reference = Reference(sop_class_uid, sop_instance_uid)
                if row.state != DeliveryState.UNCONFIRMED:
                    continue
                if reference in committed:
                    row.committed_at = now
                    _move(session, row, "commit", "committed", now, actor=actor)
                    settled += 1
                elif reference in failed and row.delivered_at is not None and row.delivered_at <= asked_at:
                    self._refuse(session, row, failed[reference], now, actor=actor)
                    settled += 1
            return settled if asked else None

    def waive(self, destination: str, now: datetime, *, actor: str) -> int:
        """What a destination took is delivered: it isn't asked any more. Returns how many."""
        held = select(DeliveryRow).where(DeliveryRow.state == DeliveryState.UNCONFIRMED, DeliveryRow.destination == destination)
        with self._database.transaction() as session:
            rows = session.scalars(held.order_by(DeliveryRow.id).with_for_update()).all()
            for row in rows:
                _move(session, row, "waive", row.reason, now, actor=actor)
            return len(rows)

    def _refuse(self, session: Session, row: DeliveryRow, reason: str, now: datetime, *, actor: str) -> None:
        """Send again what the destination doesn't keep, unless that was tried too often."""
        resending = self._resending.get(row.destination)
        if resending is None or row.resends >= resending.limit:
            _move(session, row, "give_up", f"sent {row.resends + 1} times, not kept: {reason}", now, actor=actor)
            return
        row.resends += 1
        # Jittered by the row's number: nothing here needs to be unpredictable.
        wait_s = backoff_s(row.resends, resending.wait_first_s, resending.wait_longest_s, random.Random(row.id))  # noqa: S311
        row.run_after = now + timedelta(seconds=wait_s)
        _move(session, row, "send_again", f"not kept: {reason}", now, actor=actor)


def _asked(transaction_uid: str) -> Select[DeliveryRow, datetime, str, str]:
    """Each delivery that was asked about under this Transaction UID, when, and the classes and UIDs of its instance."""
    return (
        select(DeliveryRow, ConfirmationRequestRow.asked_at, ResultRow.sop_class_uid, ResultRow.sop_instance_uid)
        .join(ConfirmationRequestRow, ConfirmationRequestRow.delivery_id == DeliveryRow.id)
        .join(ResultRow, ResultRow.id == DeliveryRow.result_id)
        .where(ConfirmationRequestRow.transaction_uid == transaction_uid)
        .order_by(DeliveryRow.id)
    )


def _unconfirmed(session: Session, ids: Sequence[int]) -> list[Unconfirmed]:
    rows = session.execute(
        select(DeliveryRow, ResultRow, JobRow.study_instance_uid)
        .join(ResultRow, ResultRow.id == DeliveryRow.result_id)
        .join(JobRow, JobRow.id == DeliveryRow.job_id)
        .where(DeliveryRow.id.in_(ids))
        .order_by(DeliveryRow.id)
    )
    claims = []
    for row, result, study in rows:
        assert row.delivered_at is not None, row.id
        instance = Located(study, result.series_instance_uid, Reference(result.sop_class_uid, result.sop_instance_uid))
        claims.append(Unconfirmed(row.id, row.job_id, instance, row.asks, row.delivered_at))
    return claims


def _move(session: Session, row: DeliveryRow, event: str, reason: str, now: datetime, *, actor: str) -> None:
    before, row.state, row.reason = row.state, move(DELIVERY_MOVES, row.state, event), reason
    record(session, row.job_id, event, (before, row.state), actor=actor, now=now, delivery_id=row.id, detail=reason)
