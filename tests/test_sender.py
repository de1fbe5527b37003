"""The sender against real SCPs and real databases: who is late delays nobody, what is lost is sent again."""

import random
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cad_node.deliver.cstore import CStore
from cad_node.deliver.transport import Outcome
from cad_node.lifecycle import DeliveryState
from cad_node.objects import Profile
from cad_node.sender import Sender
from cad_node.settings import Destination, Settings
from cad_node.store.deliveries import Deliveries
from cad_node.store.jobs import Jobs
from cad_node.store.studies import Studies
from tests.deliver.peers import pacs, rude_peer, unused_port
from tests.factory import ct_study, save_study
from tests.store import arrivals

DELIVERED, PENDING, FAILED, SENDING = DeliveryState.DELIVERED, DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.SENDING
SETTINGS = Settings(queue={"poll_s": 0.02}, sender={"backoff_first_s": 10, "backoff_longest_s": 30})


def queue_deliveries(database, folder: Path, *destinations: str) -> list[Path]:
    """A finished job with two result files, due for each destination."""
    paths = save_study(ct_study(slices=2), folder)
    jobs = Jobs(database)
    arrivals.queue_jobs(Studies(database), 0)
    job = arrivals.claim(jobs)
    results = [replace(result, path=path) for result, path in zip(arrivals.results(job), paths, strict=True)]
    jobs.finish(job, results, dict.fromkeys(destinations, Profile(("seg", "sr"))), arrivals.NOW, timings_s={})
    return paths


class SetClock:
    """A clock that a test sets."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Scripted:
    """A transport whose outcomes the test names; `before` runs ahead of each."""

    def __init__(self, *outcomes: Outcome, before=lambda: None) -> None:
        self.outcomes, self.before, self.closed = outcomes, before, False

    def send(self, files):
        try:
            for outcome in self.outcomes[: len(files)]:
                self.before()
                yield outcome
        finally:
            self.closed = True


TAKEN, LATER, NEVER = Outcome.success(), Outcome(False, True, "0xA700 out of resources"), Outcome(False, False, "0xC000 can't understand")


def sender(database, transports, clock=lambda: arrivals.NOW, settings=SETTINGS):
    return Sender(settings, Deliveries(database), transports, clock, random.Random(1), "sender/1")


def cstore(destination: Destination, timeout_s: float = 5.0) -> CStore:
    return CStore(destination, "CAD_NODE", timeout_s)


def states(database, destination="pacs"):
    rows = Deliveries(database).list()
    return [row.state for row in sorted(rows, key=lambda row: row.id) if row.destination == destination]


@contextmanager
def running(sending: Sender):
    stop = threading.Event()
    thread = threading.Thread(target=sending.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


def wait_until(holds, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_what_is_due_arrives_and_is_delivered(database, tmp_path):
    queue_deliveries(database, tmp_path, "pacs")
    received = []

    with pacs(lambda event: received.append(event.request.AffectedSOPInstanceUID) or 0x0000) as destination:
        count = sender(database, {"pacs": cstore(destination)}).send_due("pacs")

    assert (count, len(set(received))) == (2, 2)
    assert states(database) == [DELIVERED, DELIVERED]
    assert {row.reason for row in Deliveries(database).list()} == {"0x0000 success"}


def test_nothing_due_is_nothing_done(database):
    assert sender(database, {"pacs": Scripted()}).send_due("pacs") == 0


def test_each_outcome_settles_its_own_delivery(database, tmp_path):
    queue_deliveries(database, tmp_path, "pacs")

    sender(database, {"pacs": Scripted(NEVER, LATER)}).send_due("pacs")

    assert states(database) == [FAILED, PENDING]
    assert sorted(row.reason for row in Deliveries(database).list()) == sorted([NEVER.reason, LATER.reason])


def test_a_failure_waits_longer_each_time_up_to_the_longest(database, tmp_path):
    queue_deliveries(database, tmp_path, "pacs")
    clock = SetClock(arrivals.NOW)
    waits_s = []

    for _ in range(4):
        sender(database, {"pacs": Scripted(LATER, LATER)}, clock).send_due("pacs")
        due_at = max(row.run_after for row in Deliveries(database).list())
        waits_s.append((due_at - clock.now).total_seconds())
        clock.now = due_at

    for wait_s, nominal_s in zip(waits_s, [10, 20, 30, 30], strict=True):
        assert 0.8 * nominal_s <= wait_s <= 1.2 * nominal_s


@pytest.mark.parametrize(("asked_s", "nominal_s"), [(25, 25), (3, 10), (1e9, 30)])
def test_a_destination_that_asks_for_time_gets_it_up_to_the_longest_wait(database, tmp_path, asked_s, nominal_s):
    queue_deliveries(database, tmp_path, "pacs")
    busy = replace(LATER, wait_s=asked_s)

    sender(database, {"pacs": Scripted(busy, busy)}).send_due("pacs")

    (wait_s,) = {round((row.run_after - arrivals.NOW).total_seconds(), -1) for row in Deliveries(database).list()}
    assert wait_s == round(nominal_s, -1)


def test_before_its_time_a_delivery_is_not_tried_and_then_it_is(database, tmp_path):
    queue_deliveries(database, tmp_path, "pacs")
    clock = SetClock(arrivals.NOW)
    sender(database, {"pacs": Scripted(LATER, LATER)}, clock).send_due("pacs")

    clock.now = arrivals.after(5)
    early = sender(database, {"pacs": Scripted(TAKEN, TAKEN)}, clock).send_due("pacs")
    clock.now = arrivals.after(13)
    late = sender(database, {"pacs": Scripted(TAKEN, TAKEN)}, clock).send_due("pacs")

    assert (early, late) == (0, 2)
    assert states(database) == [DELIVERED, DELIVERED]


def test_a_missing_result_file_fails_for_good_and_says_which(database, tmp_path):
    paths = queue_deliveries(database, tmp_path, "pacs")
    paths[0].unlink()

    with pacs(lambda _: 0x0000) as destination:
        sender(database, {"pacs": cstore(destination)}).send_due("pacs")

    assert states(database) == [FAILED, DELIVERED]
    assert "0001.dcm can't be read: No such file or directory" in {row.reason for row in Deliveries(database).list()}


def test_a_pacs_that_is_not_there_is_tried_again_later(database, tmp_path):
    queue_deliveries(database, tmp_path, "pacs")
    nobody = Destination(ae_title="PACS", host="127.0.0.1", port=unused_port())

    sender(database, {"pacs": cstore(nobody)}).send_due("pacs")

    assert states(database) == [PENDING, PENDING]


def test_a_destination_that_hangs_never_delays_another(database, tmp_path):
    queue_deliveries(database, tmp_path, "hanging", "healthy")
    hung_up = threading.Event()

    with rude_peer(lambda _: hung_up.wait(10)) as hanging, pacs(lambda _: 0x0000) as healthy:
        sending = sender(database, {"hanging": cstore(hanging, timeout_s=8), "healthy": cstore(healthy)})
        with running(sending):
            wait_until(lambda: states(database, "healthy") == [DELIVERED, DELIVERED], timeout_s=5)
            meanwhile = states(database, "hanging")
            hung_up.set()

    assert meanwhile == [SENDING, SENDING]


def test_what_comes_due_while_running_is_sent(database, tmp_path):
    with pacs(lambda _: 0x0000) as destination, running(sender(database, {"pacs": cstore(destination)})):
        queue_deliveries(database, tmp_path, "pacs")
        wait_until(lambda: states(database) == [DELIVERED, DELIVERED])


def test_stopping_finishes_the_present_file_and_gives_back_the_rest_at_once(database, tmp_path):
    queue_deliveries(database, tmp_path, "pacs")
    stop = threading.Event()
    transport = Scripted(TAKEN, TAKEN, before=stop.set)

    sender(database, {"pacs": transport}).send_due("pacs", stop)

    assert states(database) == [DELIVERED, PENDING]
    assert transport.closed


def test_a_delivery_given_back_at_shutdown_is_due_at_once_and_has_lost_no_attempt(database, tmp_path):
    queue_deliveries(database, tmp_path, "pacs")
    stop = threading.Event()
    sender(database, {"pacs": Scripted(TAKEN, TAKEN, before=stop.set)}).send_due("pacs", stop)

    (again,) = Deliveries(database).claim("pacs", "sender/2", arrivals.NOW, 60, 10)

    assert again.attempt == 1
    assert [event.event for event in Jobs(database).show(again.job_id).events if event.delivery_id == again.id] == [
        "claim",
        "release",
        "claim",
    ]


def test_the_leases_hold_while_a_slow_peer_is_sent_to(database, tmp_path):
    queue_deliveries(database, tmp_path, "pacs")
    settings = Settings(queue={"lease_s": 0.3, "poll_s": 0.02})
    taken_away = []

    def slowly():
        time.sleep(0.6)
        taken_away.extend(Deliveries(database).lose_expired(datetime.now(UTC)))

    sender(database, {"pacs": Scripted(TAKEN, TAKEN, before=slowly)}, lambda: datetime.now(UTC), settings).send_due("pacs")

    assert not taken_away
    assert states(database) == [DELIVERED, DELIVERED]


def test_a_sender_that_lost_its_lease_changes_nothing(database, tmp_path):
    queue_deliveries(database, tmp_path, "pacs")
    taken_over = []

    def take_over():
        if not taken_over:
            Deliveries(database).lose_sender("sender/1", arrivals.NOW)
            taken_over.extend(Deliveries(database).claim("pacs", "sender/2", arrivals.NOW, 60, 10))

    sender(database, {"pacs": Scripted(NEVER, NEVER, before=take_over)}).send_due("pacs")

    assert states(database) == [SENDING, SENDING]
    assert len(taken_over) == 2


def test_what_a_dead_sender_held_is_sent_again_and_delivered_once(database, tmp_path):
    queue_deliveries(database, tmp_path, "pacs")
    received = []
    with pacs(lambda event: received.append(event.request.AffectedSOPInstanceUID) or 0x0000) as destination:
        dead = Deliveries(database).claim("pacs", "sender/dead", arrivals.NOW, 60, 10)
        list(cstore(destination).send([claim.path for claim in dead]))  # it arrives, but the sender dies before it can say so

        before = sender(database, {"pacs": cstore(destination)}).send_due("pacs")
        Deliveries(database).lose_sender("sender/dead", arrivals.after(1))
        after = sender(database, {"pacs": cstore(destination)}, SetClock(arrivals.after(1))).send_due("pacs")

    assert (before, after) == (0, 2)
    assert len(received) == 4
    assert len(set(received)) == 2
    assert states(database) == [DELIVERED, DELIVERED]


def test_a_cancelled_delivery_is_not_sent(database, tmp_path):
    queue_deliveries(database, tmp_path, "pacs")
    Deliveries(database).cancel(1, arrivals.NOW)

    assert sender(database, {"pacs": Scripted(TAKEN, TAKEN)}).send_due("pacs") == 0


def test_the_deliveries_of_one_destination_never_go_to_another(database, tmp_path):
    queue_deliveries(database, tmp_path, "one", "two")

    count = sender(database, {"one": Scripted(TAKEN, TAKEN)}).send_due("one")

    assert count == 2
    assert states(database, "two") == [PENDING, PENDING]
