"""Requests for storage commitment as rows: noted once, worked on by one process at a time, kept until the requester knows."""

import pytest

from cad_node.commitment import Reference
from cad_node.lifecycle import CommitmentState
from cad_node.store.commitments import Commitments, TransactionTaken
from cad_node.store.database import Database
from cad_node.store.studies import Studies
from cad_node.store.tables import CommitmentRequestRow
from tests.store.arrivals import CT, LEASE_S, NOW, after, index, received

FIRST, SECOND = Reference(CT, "1.2.3.9.1"), Reference(CT, "1.2.3.9.2")


@pytest.fixture
def commitments(database: Database) -> Commitments:
    return Commitments(database)


def ask(commitments: Commitments, transaction_uid: str = "2.25.1", *references: Reference, ae_title: str = "PACS", now=NOW) -> int:
    return commitments.request(ae_title, transaction_uid, references or (FIRST, SECOND), now, now)


def claim(commitments: Commitments, now=NOW, before_time=()):
    return commitments.claim(now, LEASE_S, 10, before_time)


def state(database: Database, request_id: int) -> CommitmentState:
    with database.reading() as session:
        return session.get_one(CommitmentRequestRow, request_id).state


def test_a_claim_carries_what_was_asked_oldest_first(commitments):
    ids = [ask(commitments, f"2.25.{number}") for number in (2, 1)]

    first, second = claim(commitments)

    assert [first.id, second.id] == ids
    assert (first.calling_ae_title, first.transaction_uid, set(first.references), first.attempt) == ("PACS", "2.25.2", {FIRST, SECOND}, 1)


def test_what_one_process_works_on_another_gets_only_when_it_has_died(commitments):
    ask(commitments)
    taken = claim(commitments)

    assert len(taken) == 1
    assert claim(commitments, after(LEASE_S - 1)) == []
    assert [request.attempt for request in claim(commitments, after(LEASE_S))] == [2]


def test_a_request_whose_association_is_held_is_due_before_its_time(commitments):
    request_id = commitments.request("PACS", "2.25.1", [FIRST], NOW, after(5))

    for_others, for_the_holder = claim(commitments), claim(commitments, before_time=[request_id])

    assert (for_others, [request.id for request in for_the_holder]) == ([], [request_id])


def test_what_is_not_indexed_yet_is_looked_for_again_and_has_lost_no_attempt(commitments):
    ask(commitments)
    (request,) = claim(commitments)

    commitments.release(request.id, after(1))

    assert claim(commitments) == []
    assert [again.attempt for again in claim(commitments, after(1))] == [1]


@pytest.mark.parametrize("end", ["report", "abandon"])
def test_what_has_ended_is_not_claimed_and_does_not_move_again(database, commitments, end):
    ask(commitments)
    (request,) = claim(commitments)
    if end == "report":
        commitments.report(request.id, NOW)
    else:
        commitments.abandon(request.id, "nobody knows it")
    ended = state(database, request.id)

    commitments.back_off(request.id, "too late", after(1))

    assert state(database, request.id) == ended != CommitmentState.REQUESTED
    assert claim(commitments, after(1000)) == []


def test_the_same_request_again_is_due_again(commitments):
    ask(commitments)
    (request,) = claim(commitments)
    commitments.report(request.id, NOW)

    ask(commitments, "2.25.1", SECOND, FIRST, now=after(7))

    (again,) = claim(commitments, after(7))
    assert (again.id, again.attempt, again.requested_at) == (request.id, 1, after(7))


def test_a_transaction_uid_belongs_to_its_instances_and_its_peer(commitments):
    ask(commitments)

    with pytest.raises(TransactionTaken, match=r"2\.25\.1"):
        ask(commitments, "2.25.1", FIRST)

    assert ask(commitments, "2.25.1", FIRST, ae_title="ANOTHER")


def test_the_index_tells_where_each_instance_lies_however_many_are_asked_for(database, commitments):
    studies = Studies(database)
    for number in (1, 2):
        index(studies, received(number), NOW)

    indexed = commitments.indexed([f"1.2.3.9.{number}" for number in range(1, 1502)])

    assert {uid: (found.sop_class_uid, found.path.name) for uid, found in indexed.items()} == {
        "1.2.3.9.1": (CT, "1.2.3.9.1.dcm"),
        "1.2.3.9.2": (CT, "1.2.3.9.2.dcm"),
    }
