"""The states of studies, jobs, deliveries, procedure steps and commitment, and every move between them; pure."""

import random
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar


class StudyState(StrEnum):
    RECEIVING = "receiving"
    STARTED = "started"  # models whose series are whole have begun on its images so far; others may still come
    COMPLETE = "complete"


class StepState(StrEnum):
    """Performed Procedure Step Status (0040,0252), PS3.3 C.4.14."""

    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"  # the model can't take this study; the row says why
    FAILED = "failed"  # every attempt failed
    QUARANTINED = "quarantined"  # it cost too many workers, or leases
    CANCELLED = "cancelled"


class DeliveryState(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"  # the end where the destination isn't asked for more
    UNCONFIRMED = "unconfirmed"  # the destination took it, but hasn't said yet that it keeps it
    COMMITTED = "committed"
    FAILED = "failed"  # the destination will never take it, or doesn't keep it
    CANCELLED = "cancelled"
    REPLACED = "replaced"  # the destination takes no such object; another goes instead, where one shows about the same
    HELD = "held"  # the object didn't pass the checks: it is kept for inspection, and doesn't go


class CommitmentState(StrEnum):
    """Of a peer's request that this node commits itself to instances."""

    REQUESTED = "requested"
    REPORTED = "reported"  # the requester has the answer
    ABANDONED = "abandoned"  # it couldn't be told


STUDY_MOVES: Mapping[tuple[StudyState, str], StudyState] = {
    (StudyState.RECEIVING, "instance"): StudyState.RECEIVING,
    (StudyState.RECEIVING, "start"): StudyState.STARTED,
    (StudyState.RECEIVING, "settle"): StudyState.COMPLETE,
    (StudyState.STARTED, "instance"): StudyState.RECEIVING,  # the revision that models have seen stays as it is: the next revision
    (StudyState.STARTED, "start"): StudyState.STARTED,
    (StudyState.STARTED, "settle"): StudyState.COMPLETE,
    (StudyState.COMPLETE, "instance"): StudyState.RECEIVING,  # a late image: the next revision
    (StudyState.COMPLETE, "analyse"): StudyState.COMPLETE,  # an admin asks for it once more: the next revision, of the same images
}

# PS3.4 F.7.2.2: what has ended is never updated again.
STEP_MOVES: Mapping[tuple[StepState, str], StepState] = {
    (StepState.IN_PROGRESS, "update"): StepState.IN_PROGRESS,
    (StepState.IN_PROGRESS, "complete"): StepState.COMPLETED,
    (StepState.IN_PROGRESS, "discontinue"): StepState.DISCONTINUED,
}

JOB_MOVES: Mapping[tuple[JobState, str], JobState] = {
    (JobState.QUEUED, "claim"): JobState.RUNNING,
    (JobState.QUEUED, "cancel"): JobState.CANCELLED,
    (JobState.RUNNING, "finish"): JobState.DONE,
    (JobState.RUNNING, "refuse"): JobState.REFUSED,
    (JobState.RUNNING, "release"): JobState.QUEUED,  # given back untouched, at shutdown
    (JobState.RUNNING, "back_off"): JobState.QUEUED,  # failed, tried again later
    (JobState.RUNNING, "fail"): JobState.FAILED,
    (JobState.RUNNING, "lose"): JobState.QUEUED,  # its worker died, or let the lease run out
    (JobState.RUNNING, "quarantine"): JobState.QUARANTINED,  # its worker was lost once too often
    (JobState.RUNNING, "cancel"): JobState.CANCELLED,
    (JobState.QUEUED, "retry"): JobState.QUEUED,  # at once, not after its back-off
    (JobState.REFUSED, "retry"): JobState.QUEUED,
    (JobState.FAILED, "retry"): JobState.QUEUED,
    (JobState.QUARANTINED, "retry"): JobState.QUEUED,
    (JobState.CANCELLED, "retry"): JobState.QUEUED,
}

DELIVERY_MOVES: Mapping[tuple[DeliveryState, str], DeliveryState] = {
    (DeliveryState.PENDING, "claim"): DeliveryState.SENDING,
    (DeliveryState.PENDING, "cancel"): DeliveryState.CANCELLED,
    (DeliveryState.SENDING, "deliver"): DeliveryState.DELIVERED,
    (DeliveryState.SENDING, "back_off"): DeliveryState.PENDING,
    (DeliveryState.SENDING, "release"): DeliveryState.PENDING,  # given back unsent, at shutdown
    (DeliveryState.SENDING, "lose"): DeliveryState.PENDING,  # its sender died
    (DeliveryState.SENDING, "fail"): DeliveryState.FAILED,
    (DeliveryState.SENDING, "replace"): DeliveryState.REPLACED,
    (DeliveryState.SENDING, "accept"): DeliveryState.UNCONFIRMED,
    (DeliveryState.UNCONFIRMED, "ask"): DeliveryState.UNCONFIRMED,
    (DeliveryState.UNCONFIRMED, "commit"): DeliveryState.COMMITTED,
    (DeliveryState.UNCONFIRMED, "send_again"): DeliveryState.PENDING,  # the destination says that it doesn't hold it
    (DeliveryState.UNCONFIRMED, "give_up"): DeliveryState.FAILED,  # and has said so too often
    (DeliveryState.UNCONFIRMED, "waive"): DeliveryState.DELIVERED,  # its destination isn't asked any more
    (DeliveryState.UNCONFIRMED, "cancel"): DeliveryState.CANCELLED,
    (DeliveryState.UNCONFIRMED, "retry"): DeliveryState.UNCONFIRMED,  # asked at once
    (DeliveryState.FAILED, "cancel"): DeliveryState.CANCELLED,  # given up: what it was to send needn't be kept for it
    (DeliveryState.PENDING, "retry"): DeliveryState.PENDING,  # at once, not after its back-off
    (DeliveryState.FAILED, "retry"): DeliveryState.PENDING,
    (DeliveryState.CANCELLED, "retry"): DeliveryState.PENDING,
    (DeliveryState.REPLACED, "retry"): DeliveryState.PENDING,  # the destination has learnt to take it
}

COMMITMENT_MOVES: Mapping[tuple[CommitmentState, str], CommitmentState] = {
    (CommitmentState.REQUESTED, "request"): CommitmentState.REQUESTED,  # the same once more: its answer was lost on the way
    (CommitmentState.REQUESTED, "release"): CommitmentState.REQUESTED,  # what it asks about isn't indexed yet
    (CommitmentState.REQUESTED, "back_off"): CommitmentState.REQUESTED,
    (CommitmentState.REQUESTED, "report"): CommitmentState.REPORTED,
    (CommitmentState.REQUESTED, "abandon"): CommitmentState.ABANDONED,
    (CommitmentState.REPORTED, "request"): CommitmentState.REQUESTED,
    (CommitmentState.ABANDONED, "request"): CommitmentState.REQUESTED,
}

JOB_ENDED = frozenset(JobState) - {JobState.QUEUED, JobState.RUNNING}  # no worker has it or will have it by itself
DELIVERY_DONE = frozenset({DeliveryState.DELIVERED, DeliveryState.COMMITTED, DeliveryState.REPLACED})  # nothing is left to do for them

JOB_EVENTS = frozenset(event for _, event in JOB_MOVES)
DELIVERY_EVENTS = frozenset(event for _, event in DELIVERY_MOVES)

State = TypeVar("State", StudyState, StepState, JobState, DeliveryState, CommitmentState)


class IllegalMove(Exception):
    """This state has no such move."""


def move(moves: Mapping[tuple[State, str], State], state: State, event: str) -> State:
    """The state after `event`. Raises IllegalMove: a missing key is never ignored."""
    try:
        return moves[state, event]
    except KeyError:
        raise IllegalMove(f"{type(state).__name__} {state.value!r} has no move {event!r}") from None


def sources(moves: Mapping[tuple[State, str], State], event: str) -> tuple[State, ...]:
    """The states in which `event` is allowed: the WHERE clause of the move's UPDATE."""
    return tuple(state for state, name in moves if name == event)


def backoff_s(attempt: int, first_s: float, longest_s: float, rng: random.Random) -> float:
    """Seconds to wait after the attempt-th failure (1, 2, …): doubling, capped, and jittered by ± 20 % so that retries spread."""
    if attempt < 1:
        raise ValueError(f"attempt {attempt}: counts from 1")
    doubled = min(longest_s, first_s * 2.0 ** min(attempt - 1, 60))
    return doubled * rng.uniform(0.8, 1.2)
