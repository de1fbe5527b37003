"""Rows of the outbox, made: what a job gives to a destination, and what goes there instead."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from cad_node.lifecycle import DeliveryState
from cad_node.store.tables import DeliveryRow, ResultRow

_STUCK = frozenset({DeliveryState.FAILED, DeliveryState.CANCELLED, DeliveryState.HELD})


class Substitute(NamedTuple):
    """The object that goes where another isn't taken."""

    builder: str
    edition: str  # objects.Profile.edition


def delivery_row(result: ResultRow, destination: str, now: datetime, reason: str = "") -> DeliveryRow:
    """Due at once; of a result that didn't pass the checks, held."""
    return DeliveryRow(
        result_id=result.id,
        job_id=result.job_id,
        destination=destination,
        state=DeliveryState.HELD if result.fault else DeliveryState.PENDING,
        reason=result.fault or reason,
        run_after=now,
        created_at=now,
    )


def add_substitutes(session: Session, refused: DeliveryRow, instead: Substitute, now: datetime, *, reason: str) -> str:
    """Deliver a job's other objects to the same destination, if they aren't already. Returns why none of them goes; empty: they do."""
    wanted = (ResultRow.job_id == refused.job_id, ResultRow.builder == instead.builder, ResultRow.edition == instead.edition)
    made = session.scalars(select(ResultRow).where(*wanted).order_by(ResultRow.id)).all()
    if not made:
        return f"{instead.builder}, which would go instead, wasn't made"
    ids = [result.id for result in made]
    there = select(DeliveryRow).where(DeliveryRow.destination == refused.destination, DeliveryRow.result_id.in_(ids))
    deliveries = {row.result_id: row for row in session.scalars(there)}
    new = [delivery_row(result, refused.destination, now, reason) for result in made if result.id not in deliveries]
    session.add_all(new)
    states = {row.state for row in (*deliveries.values(), *new)}
    return f"{instead.builder}, which would go instead, is {', '.join(sorted(states))}" if states <= _STUCK else ""
