"""What happened to a job and its deliveries: one row for each move, written in the transaction of the move."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cad_node.lifecycle import DeliveryState, JobState, State, sources
from cad_node.store.tables import JobEventRow

ADMIN = "admin"
SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True)
class JobEvent:
    at: datetime
    delivery_id: int | None  # None: of the job itself
    event: str
    from_state: str
    to_state: str
    actor: str  # the worker or sender that holds the row, else the admin or the supervisor
    detail: str


def arc(moves: Mapping[tuple[State, str], State], event: str) -> tuple[State, State]:
    """The state before and the state after an event that only one state allows."""
    (before,) = sources(moves, event)
    return before, moves[before, event]


def record(
    session: Session,
    job_id: int,
    event: str,
    states: tuple[JobState, JobState] | tuple[DeliveryState, DeliveryState],
    *,
    actor: str,
    now: datetime,
    delivery_id: int | None = None,
    detail: str = "",
) -> None:
    """Add the row of one move."""
    before, after = states
    session.add(
        JobEventRow(
            job_id=job_id, delivery_id=delivery_id, at=now, event=event, from_state=before, to_state=after, actor=actor, detail=detail
        )
    )


def events_of(session: Session, job_id: int) -> tuple[JobEvent, ...]:
    """Every move of a job and its deliveries, in the order in which they happened."""
    rows = session.scalars(select(JobEventRow).where(JobEventRow.job_id == job_id).order_by(JobEventRow.id))
    return tuple(JobEvent(row.at, row.delivery_id, row.event, row.from_state, row.to_state, row.actor, row.detail) for row in rows)
