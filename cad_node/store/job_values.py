"""A job as others see it: as its worker holds it, and as an admin reads it."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cad_node.lifecycle import JobState
from cad_node.store.deliveries import DeliverySummary
from cad_node.store.events import JobEvent


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    id: int
    uid: uuid.UUID
    fence: int
    study_instance_uid: str
    revision: int
    series_instance_uid: str | None
    model_name: str
    model_version: str
    attempt: int  # counts from 1
    crashes: int  # workers lost so far
    started_at: datetime  # of the first claim since an admin's retry


@dataclass(frozen=True, slots=True)
class NewResult:
    """One DICOM object that a job made, and where its file lies."""

    builder: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    path: Path
    sha256: str
    edition: str = ""  # objects.Profile.edition
    number: int = 1  # among those that the builder made
    fault: str = ""  # why it didn't pass the checks, so that it doesn't go anywhere


@dataclass(frozen=True, slots=True)
class SupersededResult:
    """A result whose place another takes, and who has it or is being sent it."""

    result: NewResult
    destinations: frozenset[str]


@dataclass(frozen=True, slots=True)
class JobSummary:
    id: int
    uid: uuid.UUID
    state: JobState
    model_name: str
    model_version: str
    study_instance_uid: str
    revision: int
    series_instance_uid: str | None
    evidence: str | None  # that what the model needs has come; None: made by a version that didn't note it
    priority: int
    attempt: int
    crashes: int
    worker: str | None  # that has it or had it last
    reason_code: str
    reason: str
    run_after: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    timings_s: dict[str, float]
    delivered: int  # of its deliveries, without those that others go instead of
    deliveries: int


@dataclass(frozen=True, slots=True)
class JobDetail:
    summary: JobSummary
    events: tuple[JobEvent, ...]
    results: tuple[NewResult, ...]
    deliveries: tuple[DeliverySummary, ...]
