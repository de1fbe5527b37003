"""Deliveries that are committed only after their destination says so, on real databases."""

import random
import threading
from datetime import timedelta

import pytest

from cad_node.commitment import Reference
from cad_node.confirmation import Answer, NotAnswered
from cad_node.confirmer import Confirmer
from cad_node.deliver.cstore import CStore
from cad_node.errors import PacsUnreachable
from cad_node.lifecycle import DeliveryState
from cad_node.sender import Sender
from cad_node.settings import Settings
from cad_node.store.confirmations import Confirmations, Resending
from cad_node.store.deliveries import Deliveries
from cad_node.store.jobs import Jobs
from tests.confirmable import queue_confirmable
from tests.deliver.peers import pacs
from tests.store import arrivals
from tests.test_sender import SetClock, wait_until

COMMITTED, DELIVERED, FAILED = DeliveryState.COMMITTED, DeliveryState.DELIVERED, DeliveryState.FAILED
PENDING, UNCONFIRMED = DeliveryState.PENDING, DeliveryState.UNCONFIRMED
SETTINGS = Settings(
    queue={"poll_s": 0.02},
    sender={"backoff_first_s": 10, "backoff_longest_s": 30},
    destinations={"pacs": {"ae_title": "PACS", "host": "localhost", "port": 104, "confirm": "commitment", "confirm_timeout_s": 100}},
)


class Scripted:
    """A way of confirmation whose answers the test names: made of what is asked, or raised."""

    def __init__(self, *answers) -> None:
        self.answers, self.asked, self.transactions = list(answers), [], []

    def ask(self, transaction_uid, instances):
        self.asked.append([instance.reference for instance in instances])
        self.transactions.append(transaction_uid)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer([instance.reference for instance in instances])


def all_kept(asked):
    return Answer(frozenset(asked), reports_later=True)


def none_kept(asked):
    return Answer(failed=dict.fromkeys(asked, "0x0213 resource limitation"), reports_later=True)


def told_later(asked):
    return Answer(reports_later=True, reason="not reported yet")


def not_found(asked):
    return Answer(reason="not found")


class Outbox:
    """Two deliveries to one destination, and what becomes of them."""

    def __init__(self, database, folder, resends: int) -> None:
        self.datasets = queue_confirmable(database, folder, "pacs")
        self.references = [Reference(ds.SOPClassUID, ds.SOPInstanceUID) for ds in self.datasets]
        self.database, self.deliveries = database, Deliveries(database)
        self.confirmations = Confirmations(database, {"pacs": Resending(resends, 10, 30)})
        self.clock = SetClock(arrivals.NOW)

    def deliver(self) -> int:
        """The PACS takes all that is due."""
        claims = self.deliveries.claim("pacs", "sender/1", self.clock.now, 60, 10)
        for claim in claims:
            self.deliveries.accept(claim, "0x0000 success", self.clock.now)
        return len(claims)

    def confirmer(self, way, settings=SETTINGS) -> Confirmer:
        return Confirmer(settings, self.confirmations, {"pacs": way}, self.clock, random.Random(1), "sender/1")

    def ask(self, way) -> int:
        return self.confirmer(way).confirm_due("pacs")

    def later(self, seconds: float) -> None:
        self.clock.now += timedelta(seconds=seconds)

    def rows(self):
        return sorted(self.deliveries.list(), key=lambda row: row.id)

    def states(self) -> list[DeliveryState]:
        return [row.state for row in self.rows()]

    def events(self) -> list[str]:
        (job,) = Jobs(self.database).list()
        return [event.event for event in Jobs(self.database).show(job.id).events if event.delivery_id == self.rows()[0].id]


@pytest.fixture
def outbox(database, tmp_path) -> Outbox:
    return Outbox(database, tmp_path, resends=1)


def test_what_the_pacs_keeps_is_committed_and_what_it_only_took_is_not(outbox):
    with pacs(lambda _: 0x0000) as to:
        transports = {"pacs": CStore(to, "CAD_NODE", 5)}
        sent = Sender(SETTINGS, outbox.deliveries, transports, outbox.clock, random.Random(1), "sender/1").send_due("pacs")
    taken = outbox.states()
    asked = outbox.ask(way := Scripted(all_kept))

    assert (sent, taken) == (2, [UNCONFIRMED, UNCONFIRMED])
    assert (asked, way.asked) == (2, [outbox.references])
    assert outbox.states() == [COMMITTED, COMMITTED]
    assert outbox.events() == ["claim", "accept", "ask", "commit"]
    assert outbox.deliveries.pending() == 0


def test_what_is_committed_is_not_asked_about_again(outbox):
    outbox.deliver()
    outbox.ask(Scripted(all_kept))
    outbox.later(1000)

    assert outbox.ask(Scripted()) == 0


def test_what_the_pacs_does_not_keep_is_sent_again_and_then_committed(outbox):
    outbox.deliver()
    outbox.ask(Scripted(none_kept))
    after_refusal = [(row.state, row.reason) for row in outbox.rows()]
    too_early = outbox.deliver()
    outbox.later(13)

    sent = outbox.deliver()
    outbox.ask(Scripted(all_kept))

    assert after_refusal == [(PENDING, "not kept: 0x0213 resource limitation")] * 2
    assert (too_early, sent) == (0, 2)
    assert outbox.states() == [COMMITTED, COMMITTED]


def test_what_the_pacs_never_keeps_fails_with_its_reason(outbox):
    outbox.deliver()
    outbox.ask(Scripted(none_kept))
    outbox.later(13)
    outbox.deliver()
    outbox.ask(Scripted(none_kept))

    assert [(row.state, row.reason) for row in outbox.rows()] == [(FAILED, "sent 2 times, not kept: 0x0213 resource limitation")] * 2
    assert outbox.events()[-1] == "give_up"


def test_an_admin_s_retry_of_what_was_not_kept_begins_afresh(outbox):
    for _ in range(2):
        outbox.deliver()
        outbox.ask(Scripted(none_kept))
        outbox.later(13)

    outbox.deliveries.retry_all(outbox.clock.now)
    outbox.deliver()
    outbox.ask(Scripted(none_kept))

    assert outbox.states() == [PENDING, PENDING]


def test_without_a_report_the_pacs_is_asked_again_as_another_transaction(outbox):
    outbox.deliver()
    way = Scripted(told_later, all_kept)
    outbox.ask(way)
    outbox.later(99)
    too_early = outbox.ask(way)
    outbox.later(1)
    outbox.ask(way)

    assert too_early == 0
    assert len(set(way.transactions)) == 2
    assert outbox.states() == [COMMITTED, COMMITTED]


def test_a_late_report_on_an_earlier_transaction_counts(outbox):
    outbox.deliver()
    way = Scripted(told_later, told_later)
    outbox.ask(way)
    outbox.later(100)
    outbox.ask(way)

    settled = outbox.confirmations.settle(way.transactions[0], outbox.references, {}, outbox.clock.now, actor="scp/1")

    assert settled == 2
    assert outbox.states() == [COMMITTED, COMMITTED]


def test_a_failure_that_is_older_than_the_last_sending_says_nothing_about_it(outbox):
    outbox.deliver()
    way = Scripted(told_later, none_kept)
    outbox.ask(way)
    outbox.later(100)
    outbox.ask(way)
    outbox.later(13)
    outbox.deliver()

    failed = dict.fromkeys(outbox.references, "0x0112 no such instance")
    settled = outbox.confirmations.settle(way.transactions[0], [], failed, outbox.clock.now, actor="scp/1")

    assert settled == 0
    assert outbox.states() == [UNCONFIRMED, UNCONFIRMED]


def test_a_report_that_comes_twice_is_known_and_changes_nothing(outbox):
    outbox.deliver()
    outbox.ask(way := Scripted(all_kept))

    settled = outbox.confirmations.settle(way.transactions[0], [], dict.fromkeys(outbox.references, "?"), outbox.clock.now, actor="scp/1")

    assert settled == 0
    assert outbox.states() == [COMMITTED, COMMITTED]


def test_nothing_was_asked_under_a_transaction_uid_that_we_did_not_make(outbox):
    outbox.deliver()

    assert outbox.confirmations.settle("2.25.1", outbox.references, {}, outbox.clock.now, actor="scp/1") is None
    assert outbox.states() == [UNCONFIRMED, UNCONFIRMED]


def test_another_class_under_the_same_uid_commits_nothing(outbox):
    outbox.deliver()
    outbox.ask(way := Scripted(told_later))

    others = [Reference("1.2.840.10008.5.1.4.1.1.4", reference.sop_instance_uid) for reference in outbox.references]
    outbox.confirmations.settle(way.transactions[0], others, {}, outbox.clock.now, actor="scp/1")

    assert outbox.states() == [UNCONFIRMED, UNCONFIRMED]


@pytest.mark.parametrize("trouble", [PacsUnreachable("PACS is away"), NotAnswered("PACS answers with 0x0110")])
def test_a_pacs_that_cannot_be_asked_is_asked_again_later_each_time(outbox, trouble):
    outbox.deliver()
    waits_s = []
    for _ in range(4):
        outbox.ask(Scripted(trouble))
        due_at = max(row.run_after for row in outbox.rows())
        waits_s.append((due_at - outbox.clock.now).total_seconds())
        outbox.clock.now = due_at

    assert [(row.state, row.reason) for row in outbox.rows()] == [(UNCONFIRMED, str(trouble))] * 2
    for wait_s, nominal_s in zip(waits_s, [10, 20, 30, 30], strict=True):
        assert 0.8 * nominal_s <= wait_s <= 1.2 * nominal_s


def test_what_is_not_found_may_not_be_indexed_yet_and_is_looked_for_until_the_timeout(outbox):
    outbox.deliver()
    outbox.ask(Scripted(not_found))
    at_first = outbox.states()
    outbox.later(101)
    outbox.ask(Scripted(not_found))

    assert at_first == [UNCONFIRMED, UNCONFIRMED]
    assert [(row.state, row.reason) for row in outbox.rows()] == [(PENDING, "not kept: not found")] * 2


def test_an_admin_s_retry_asks_at_once(outbox):
    outbox.deliver()
    outbox.ask(Scripted(PacsUnreachable("PACS is away")))
    early = outbox.ask(Scripted())

    retried = outbox.deliveries.retry_all(outbox.clock.now, "pacs")
    asked = outbox.ask(Scripted(all_kept))

    assert (early, retried, asked) == (0, 2, 2)
    assert outbox.states() == [COMMITTED, COMMITTED]


def test_an_asker_that_died_is_replaced_after_its_lease(outbox):
    outbox.deliver()
    outbox.confirmations.claim("pacs", "2.25.7", outbox.clock.now, actor="sender/dead", lease_s=600, limit=10)
    during = outbox.ask(Scripted())
    outbox.later(600)

    after = outbox.ask(Scripted(all_kept))

    assert (during, after) == (0, 2)
    assert outbox.states() == [COMMITTED, COMMITTED]


def test_where_the_destination_is_not_asked_any_more_what_waited_is_delivered(outbox):
    outbox.deliver()
    settings = Settings(destinations={"pacs": {"ae_title": "PACS", "host": "localhost", "port": 104}})

    Confirmer(settings, outbox.confirmations, {}, outbox.clock, random.Random(1), "sender/1").waive_the_rest()

    assert outbox.states() == [DELIVERED, DELIVERED]


def test_what_comes_due_while_running_is_asked_about(outbox):
    outbox.deliver()
    stop = threading.Event()
    thread = threading.Thread(target=outbox.confirmer(Scripted(all_kept)).run, args=[stop])
    thread.start()
    try:
        wait_until(lambda: outbox.states() == [COMMITTED, COMMITTED])
    finally:
        stop.set()
        thread.join()
