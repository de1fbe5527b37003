"""Rows of the outbox, made: what a job gives to a destination, and what goes there instead."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from cad_node.lifecycle import DeliveryState
from cad_node.store.tables import DeliveryRow, ResultRow

NEVER_SUPERSEDED = frozenset({"rejection", "refusal"})  # what they say stays true

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


def substitute(
    session: Session, refused: DeliveryRow, substitutes: Sequence[Substitute], now: datetime, *, reason: str
) -> tuple[str, list[str]]:
    """Deliver the first of a job's other objects that can go to the same destination.

    Returns its name, or nothing, and why those before it don't go.
    """
    lacking: list[str] = []
    for one in substitutes:
        states = _states_once_there(session, refused, one, now, reason)
        if states - _STUCK:
            return one.builder, lacking
        lacking.append(f"{one.builder} is {', '.join(sorted(states))}" if states else f"{one.builder} wasn't made")
    return "", lacking


def _states_once_there(session: Session, refused: DeliveryRow, instead: Substitute, now: datetime, reason: str) -> set[DeliveryState]:
    """Of the substitute's deliveries; those that aren't there yet are added."""
    wanted = (ResultRow.job_id == refused.job_id, ResultRow.builder == instead.builder, ResultRow.edition == instead.edition)
    made = session.scalars(select(ResultRow).where(*wanted).order_by(ResultRow.id)).all()
    ids = [result.id for result in made]
    there = select(DeliveryRow).where(DeliveryRow.destination == refused.destination, DeliveryRow.result_id.in_(ids))
    deliveries = {row.result_id: row for row in session.scalars(there)}
    new = [delivery_row(result, refused.destination, now, reason) for result in made if result.id not in deliveries]
    session.add_all(new)
    return {row.state for row in (*deliveries.values(), *new)}
