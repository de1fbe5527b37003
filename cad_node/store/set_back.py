"""A wall clock that was set back: times in rows that now lie in the future would hold the node up until they come again."""

from datetime import datetime, timedelta

from sqlalchemy import exists, or_, select, update

from cad_node.log import get_logger
from cad_node.store.database import Database
from cad_node.store.tables import CommitmentRequestRow, DeliveryRow, JobRow, SeriesRow, StudyRow

log = get_logger()

_HAPPENED = (StudyRow.last_instance_at, SeriesRow.last_instance_at, SeriesRow.association_ended_at)
_DUE = (JobRow.run_after, DeliveryRow.run_after)
_LEASES = (JobRow.lease_until, DeliveryRow.lease_until, CommitmentRequestRow.run_after)


def lies_ahead(database: Database, now: datetime) -> bool:
    """Whether something has happened in the future: the clock was set back while nobody looked."""
    with database.reading() as session:
        return bool(session.scalar(select(or_(*(exists().where(time > now) for time in _HAPPENED)))))


def bring_back(database: Database, now: datetime, lease_s: float) -> None:
    """What happened, happened now; what waits for a time is due now; leases last no longer than new ones.

    A wait after a failure is cut short with the others: one more attempt, that is all the harm.
    """
    latest = {**dict.fromkeys((*_HAPPENED, *_DUE), now), **dict.fromkeys(_LEASES, now + timedelta(seconds=lease_s))}
    with database.transaction() as session:
        for time, last in latest.items():
            session.execute(update(time.class_).where(time > last).values({time.key: last}))
    log.warning("clock.set_back", reason="times that lay in the future were brought back to the present")
