"""The state tables, over all pairs of state and event; and the waits between attempts."""

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cad_node.lifecycle import (
    COMMITMENT_MOVES,
    DELIVERY_EVENTS,
    DELIVERY_MOVES,
    JOB_EVENTS,
    JOB_MOVES,
    STEP_MOVES,
    STUDY_MOVES,
    CommitmentState,
    DeliveryState,
    IllegalMove,
    JobState,
    StepState,
    StudyState,
    backoff_s,
    move,
    sources,
)

STUDY_EVENTS = frozenset(event for _, event in STUDY_MOVES)
STEP_EVENTS = frozenset(event for _, event in STEP_MOVES)
COMMITMENT_EVENTS = frozenset(event for _, event in COMMITMENT_MOVES)
TABLES = [
    (StudyState, STUDY_MOVES, STUDY_EVENTS),
    (StepState, STEP_MOVES, STEP_EVENTS),
    (JobState, JOB_MOVES, JOB_EVENTS),
    (DeliveryState, DELIVERY_MOVES, DELIVERY_EVENTS),
    (CommitmentState, COMMITMENT_MOVES, COMMITMENT_EVENTS),
]
PAIRS = [(moves, state, event) for states, moves, events in TABLES for state, event in product(states, sorted(events))]


@pytest.mark.parametrize(("moves", "state", "event"), PAIRS)
def test_each_pair_of_state_and_event_gives_the_table_s_state_or_is_refused(moves, state, event):
    if (state, event) in moves:
        assert move(moves, state, event) is moves[state, event]
        assert state in sources(moves, event)
    else:
        with pytest.raises(IllegalMove, match=f"{state.value}.*{event}"):
            move(moves, state, event)
        assert state not in sources(moves, event)


@pytest.mark.parametrize(("states", "moves", "events"), TABLES)
def test_an_event_that_no_table_knows_is_refused_in_every_state(states, moves, events):
    for state in states:
        with pytest.raises(IllegalMove):
            move(moves, state, "explode")


@pytest.mark.parametrize(
    ("states", "moves", "starts"),
    [
        (StudyState, STUDY_MOVES, {StudyState.RECEIVING}),
        (StepState, STEP_MOVES, {StepState.IN_PROGRESS}),
        (JobState, JOB_MOVES, {JobState.QUEUED}),
        (DeliveryState, DELIVERY_MOVES, {DeliveryState.PENDING, DeliveryState.HELD}),
        (CommitmentState, COMMITMENT_MOVES, {CommitmentState.REQUESTED}),
    ],
)
def test_every_state_can_be_reached_from_the_first(states, moves, starts):
    reached = set(starts)

    for _ in states:
        reached |= {after for (before, _), after in moves.items() if before in reached}

    assert reached == set(states)


@pytest.mark.parametrize(
    ("states", "moves", "ends"),
    [
        (JobState, JOB_MOVES, {JobState.DONE}),
        (DeliveryState, DELIVERY_MOVES, {DeliveryState.DELIVERED, DeliveryState.COMMITTED, DeliveryState.HELD}),
    ],
)
def test_only_success_and_what_is_held_is_final(states, moves, ends):
    final = {state for state in states if state not in {before for before, _ in moves}}

    assert final == ends


def test_only_a_worker_s_finish_ends_in_done():
    assert {pair for pair, after in JOB_MOVES.items() if after is JobState.DONE} == {(JobState.RUNNING, "finish")}


def test_only_what_its_destination_took_is_delivered_and_only_what_it_keeps_is_committed():
    to_delivered = {pair for pair, after in DELIVERY_MOVES.items() if after is DeliveryState.DELIVERED}
    to_committed = {pair for pair, after in DELIVERY_MOVES.items() if after is DeliveryState.COMMITTED}

    assert to_delivered == {(DeliveryState.SENDING, "deliver"), (DeliveryState.UNCONFIRMED, "waive")}
    assert to_committed == {(DeliveryState.UNCONFIRMED, "commit")}


@given(
    attempt=st.integers(1, 10_000),
    first_s=st.floats(0.001, 1e4),
    longest_s=st.floats(0.001, 1e6),
    seed=st.integers(0, 2**32),
)
def test_a_backoff_is_the_doubled_first_wait_capped_and_jittered_by_a_fifth(attempt, first_s, longest_s, seed):
    wait_s = backoff_s(attempt, first_s, longest_s, random.Random(seed))

    exact_s = min(longest_s, first_s * 2.0 ** min(attempt - 1, 60))
    assert 0.8 * exact_s * (1 - 1e-9) <= wait_s <= 1.2 * exact_s * (1 + 1e-9)


def test_two_jobs_that_fail_together_do_not_come_back_together():
    waits = {backoff_s(3, 10, 600, random.Random(seed)) for seed in range(100)}

    assert len(waits) == 100
    assert max(waits) - min(waits) > 10


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_count_from_one(attempt):
    with pytest.raises(ValueError, match="counts from 1"):
        backoff_s(attempt, 10, 600, random.Random(0))
