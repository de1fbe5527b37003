"""The outbox: each destination on its own, one sender at a time, nothing sent twice by a stale sender."""

import pytest

from cad_node.errors import LeaseLost, UnknownRow
from cad_node.lifecycle import DeliveryState
from cad_node.objects import Profile
from cad_node.store.database import Database
from cad_node.store.deliveries import ClaimedDelivery, Deliveries
from cad_node.store.delivery_rows import Substitute
from cad_node.store.jobs import Jobs
from cad_node.store.studies import Studies
from tests.store.arrivals import LEASE_S, NOW, after, claim, index, new_job, queue_jobs, received, results, settle

SETTLING = {
    "deliver": lambda deliveries, claim: deliveries.deliver(claim, "0x0000 success", NOW),
    "back_off": lambda deliveries, claim: deliveries.back_off(claim, "no association", after(10), NOW),
    "fail": lambda deliveries, claim: deliveries.fail(claim, "0x0122 SOP class not supported", NOW),
    "replace": lambda deliveries, claim: deliveries.replace(claim, [Substitute("sr", "")], "pacs takes no Segmentation Storage", NOW),
    "release": lambda deliveries, claim: deliveries.release(claim, NOW),
}


@pytest.fixture
def deliveries(database: Database) -> Deliveries:
    return Deliveries(database)


@pytest.fixture
def job_id(database: Database) -> int:
    """A finished job whose two objects go to two destinations."""
    queue_jobs(Studies(database), 0)
    jobs = Jobs(database)
    job = claim(jobs)
    jobs.finish(job, results(job), {"pacs": Profile(("seg", "sr")), "research": Profile(("seg", "sr"))}, NOW)
    return job.id


def take(deliveries: Deliveries, destination: str = "pacs", sender: str = "sender", limit: int = 10) -> list[ClaimedDelivery]:
    return deliveries.claim(destination, sender, NOW, LEASE_S, limit)


def states(deliveries: Deliveries, destination: str = "pacs") -> list[DeliveryState]:
    return [row.state for row in reversed(deliveries.list()) if row.destination == destination]


def test_a_claim_carries_what_the_sender_needs_in_the_order_of_the_results(deliveries, job_id):
    seg, sr = take(deliveries)

    assert (seg.job_id, seg.sop_instance_uid, seg.path.name, seg.attempt) == (job_id, f"2.25.{job_id}.1", "seg.dcm", 1)
    assert (sr.sop_instance_uid, sr.path.name) == (f"2.25.{job_id}.2", "sr.dcm")
    assert states(deliveries) == [DeliveryState.SENDING, DeliveryState.SENDING]


def test_what_one_sender_holds_another_does_not_get(deliveries, job_id):
    first = take(deliveries, limit=1)
    second = take(deliveries, sender="another")
    third = take(deliveries, sender="third")

    assert [len(first), len(second), len(third)] == [1, 1, 0]
    assert first[0].id != second[0].id


def test_a_destination_that_is_down_does_not_touch_another(deliveries, job_id):
    for held in take(deliveries, "pacs"):
        deliveries.back_off(held, "no association", after(3600), NOW)

    other = take(deliveries, "research")

    assert len(other) == 2
    assert states(deliveries, "pacs") == [DeliveryState.PENDING, DeliveryState.PENDING]


def test_a_delivery_that_backs_off_is_due_again_at_its_time(deliveries, job_id):
    held, _ = take(deliveries)
    deliveries.back_off(held, "no association", after(10), NOW)

    early = deliveries.claim("pacs", "sender", after(9), LEASE_S, 10)
    due = deliveries.claim("pacs", "sender", after(10), LEASE_S, 10)

    assert early == []
    assert [(claim.id, claim.attempt) for claim in due] == [(held.id, 2)]


def test_each_answer_is_kept_with_its_reason(deliveries, job_id):
    seg, sr = take(deliveries)

    deliveries.deliver(seg, "0x0000 success", after(1))
    deliveries.fail(sr, "0x0122 SOP class not supported", after(2))

    rows = {row.id: row for row in deliveries.list()}
    assert (rows[seg.id].state, rows[seg.id].reason, rows[seg.id].delivered_at) == (DeliveryState.DELIVERED, "0x0000 success", after(1))
    assert (rows[sr.id].state, rows[sr.id].reason) == (DeliveryState.FAILED, "0x0122 SOP class not supported")
    assert deliveries.pending() == 2


@pytest.mark.parametrize("settle", SETTLING.values(), ids=SETTLING.keys())
@pytest.mark.parametrize("taken", [False, True], ids=["given back", "taken by another"])
def test_a_late_answer_of_a_lost_delivery_changes_nothing(deliveries, job_id, settle, taken):
    held, _ = take(deliveries)
    deliveries.lose_sender("sender", NOW)
    if taken:
        take(deliveries, sender="another")
    before = deliveries.list()

    with pytest.raises(LeaseLost, match=str(held.id)):
        settle(deliveries, held)

    assert deliveries.list() == before


def test_an_expired_lease_gives_the_deliveries_back(deliveries, job_id):
    held = take(deliveries)

    alive = deliveries.lose_expired(after(LEASE_S - 1))
    lost = deliveries.lose_expired(after(LEASE_S + 1))

    assert (alive, lost) == ([], [claim.id for claim in held])
    assert states(deliveries) == [DeliveryState.PENDING, DeliveryState.PENDING]


def test_a_heartbeat_keeps_what_is_still_held_and_passes_over_what_is_settled(deliveries, job_id):
    seg, sr = take(deliveries)
    deliveries.deliver(seg, "0x0000 success", NOW)

    deliveries.heartbeat([seg, sr], after(50), LEASE_S)

    assert deliveries.lose_expired(after(LEASE_S + 1)) == []
    assert deliveries.lose_expired(after(50 + LEASE_S + 1)) == [sr.id]


def test_a_heartbeat_tells_a_sender_that_it_lost_a_delivery(deliveries, job_id):
    held = take(deliveries)
    deliveries.lose_sender("sender", NOW)

    with pytest.raises(LeaseLost, match=f"{held[0].id}, {held[1].id}"):
        deliveries.heartbeat(held, NOW, LEASE_S)


def test_only_the_dead_sender_s_deliveries_are_given_back(deliveries, job_id):
    dead, alive = take(deliveries, sender="dead", limit=1), take(deliveries, sender="alive")

    lost = deliveries.lose_sender("dead", NOW)

    assert lost == [dead[0].id]
    deliveries.deliver(alive[0], "0x0000 success", NOW)


def test_failed_and_cancelled_deliveries_of_a_job_are_sent_again_and_delivered_ones_are_not(deliveries, job_id):
    seg, sr = take(deliveries, "pacs")
    deliveries.deliver(seg, "0x0000 success", NOW)
    deliveries.fail(sr, "0x0122 SOP class not supported", NOW)
    given_up = deliveries.cancel(job_id, NOW)  # and what goes to other destinations

    retried = deliveries.retry(job_id, after(5))

    assert (given_up, retried) == (3, 3)
    assert states(deliveries, "pacs") == [DeliveryState.DELIVERED, DeliveryState.PENDING]
    assert [claim.attempt for claim in deliveries.claim("pacs", "sender", after(5), LEASE_S, 10)] == [1]


def test_a_retry_sends_what_waits_for_a_repaired_pacs_at_once(deliveries, job_id):
    waiting, due = take(deliveries)
    deliveries.back_off(waiting, "no association", after(4 * 3600), NOW)
    deliveries.release(due, NOW)

    retried = deliveries.retry(job_id, after(5))

    assert retried == 1
    assert [claim.id for claim in deliveries.claim("pacs", "sender", after(5), LEASE_S, 10)] == [waiting.id, due.id]


@pytest.mark.parametrize(("destination", "expected"), [(None, 3), ("pacs", 2), ("research", 1), ("nobody", 0)])
def test_everything_failed_or_waiting_is_sent_at_once_to_one_destination_or_all_and_nothing_cancelled(
    database, deliveries, job_id, destination, expected
):
    failed, waiting = take(deliveries)
    deliveries.fail(failed, "0x0122 SOP class not supported", NOW)
    deliveries.back_off(waiting, "no association", after(3600), NOW)
    elsewhere, _ = take(deliveries, "research")
    deliveries.fail(elsewhere, "0x0122 SOP class not supported", NOW)
    studies, jobs = Studies(database), Jobs(database)
    index(studies, received(study="1.2.9"), NOW)
    settle(studies, "1.2.9", new_job())
    job = claim(jobs)
    jobs.finish(job, results(job), {"pacs": Profile(("seg", "sr"))}, NOW)
    deliveries.cancel(job.id, NOW)

    retried = deliveries.retry_all(after(5), destination)

    assert retried == expected
    assert [row.state for row in deliveries.list(job.id)] == [DeliveryState.CANCELLED] * 2


def test_cancelled_deliveries_are_not_sent(deliveries, job_id):
    deliveries.cancel(job_id, NOW)

    assert take(deliveries) == []
    assert deliveries.pending() == 0


@pytest.mark.parametrize("steer", [Deliveries.retry, Deliveries.cancel])
def test_deliveries_of_an_unknown_job_are_an_error_not_nothing(deliveries, steer):
    with pytest.raises(UnknownRow, match="no job 7"):
        steer(deliveries, 7, NOW)


def test_deliveries_are_listed_by_job_and_by_state(deliveries, job_id):
    take(deliveries, limit=1)

    assert len(deliveries.list(job_id)) == 4
    assert deliveries.list(job_id + 1) == []
    assert [row.attempt for row in deliveries.list(state=DeliveryState.SENDING)] == [1]
    assert len(deliveries.list(limit=3)) == 3


def test_every_move_of_a_delivery_is_an_event_of_its_job(database, deliveries, job_id):
    held, _ = take(deliveries)
    deliveries.back_off(held, "no association", NOW, NOW)

    events = [e for e in Jobs(database).show(job_id).events if e.delivery_id == held.id]

    assert [(e.event, e.from_state, e.to_state, e.actor, e.detail) for e in events] == [
        ("claim", "pending", "sending", "sender", ""),
        ("back_off", "sending", "pending", "sender", "no association"),
    ]
