"""A clock that is set back doesn't hold up what arrived, waits or is leased."""

from datetime import datetime

import pytest

from cad_node.objects import Profile
from cad_node.store.database import Database
from cad_node.store.deliveries import Deliveries
from cad_node.store.jobs import Jobs
from cad_node.store.set_back import bring_back, lies_ahead
from cad_node.store.studies import Studies
from tests.store.arrivals import LEASE_S, MODEL, NOW, after, claim, index, queue_jobs, received, results, settle

HOUR_S = 3600.0
EARLIER: datetime = after(-HOUR_S)


@pytest.fixture
def set_back(database: Database) -> Database:
    """One study in each stage, all of them an hour ahead: receiving, queued, delivering."""
    studies, jobs = Studies(database), Jobs(database)
    queue_jobs(studies, 1, 0)
    first = claim(jobs)
    jobs.finish(first, results(first), {"pacs": Profile(("seg",))}, NOW)
    index(studies, received(study="1.3"), NOW)
    studies.association_ended([("1.3", "1.3.1")], NOW)
    return database


def test_what_waits_is_due_at_once(set_back: Database):
    waits = Jobs(set_back).claim("worker", [MODEL], EARLIER, LEASE_S)

    bring_back(set_back, EARLIER, LEASE_S)

    assert waits is None
    assert Jobs(set_back).claim("worker", [MODEL], EARLIER, LEASE_S)
    assert len(Deliveries(set_back).claim("pacs", "sender", EARLIER, LEASE_S, 10)) == 1


def test_what_arrived_is_no_longer_ahead_and_the_study_can_be_settled(set_back: Database):
    studies = Studies(set_back)
    ahead = lies_ahead(set_back, EARLIER)

    bring_back(set_back, EARLIER, LEASE_S)

    (evidence,) = studies.receiving()
    assert (ahead, lies_ahead(set_back, EARLIER)) == (True, False)
    assert evidence.last_instance_at == EARLIER
    assert [series.association_ended_at for series in evidence.series] == [EARLIER]
    assert settle(studies, "1.3", now=EARLIER)


def test_a_lease_lasts_no_longer_than_a_new_one(set_back: Database):
    jobs = Jobs(set_back)
    held = claim(jobs)

    bring_back(set_back, EARLIER, LEASE_S)

    assert jobs.lose_expired(after(-HOUR_S + LEASE_S - 1), 5) == []
    assert jobs.lose_expired(after(-HOUR_S + LEASE_S + 1), 5) == [held.id]


def test_with_a_clock_that_is_right_nothing_lies_ahead(set_back: Database):
    assert not lies_ahead(set_back, NOW)
