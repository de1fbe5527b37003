"""What an object builder is, and the rule by which its UIDs are made."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydicom.dataset import Dataset
from pydicom.uid import UID

from cad_node.findings import Findings
from cad_node.imaging.volume import Volume
from cad_node.manifest import Manifest


@dataclass(frozen=True, slots=True)
class EarlierObject:
    """An object of the run that this one takes the place of."""

    name: str  # objects.ObjectName
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    edition: str = ""  # objects.Profile.edition
    destinations: frozenset[str] = frozenset({""})  # that have it, or are being sent it


@dataclass(frozen=True, slots=True)
class Run:
    """One job's identity: everything in an object that the findings don't say. The same run makes the same bytes."""

    job_uid: uuid.UUID
    manifest: Manifest
    started_at: datetime  # aware; the job's first claim, so that a repeated run writes the same times
    device_uid: str  # UID of this node with this model and version
    software_version: str
    supersedes: tuple[EarlierObject, ...] = ()  # of the same study, by the same algorithm
    keeps_empty_frames: bool = False  # in Segmentations
    destination: str = ""  # for which an object is made that concerns it alone


def derive_uid(run: Run, *names: str | int) -> UID:
    """A UID made of the job, the edition and `names`: made again, it is the same; 2.25 form, PS3.5 B.2."""
    edition = ("all frames" if run.keeps_empty_frames else "", run.destination)
    return _derive(run, *filter(None, edition), *names)


def tracking_uid(run: Run, number: int) -> UID:
    """Tracking UID of finding `number` (from 1), shared by every object that shows it."""
    return _derive(run, "finding", number)


def organ_tracking_uid(run: Run, number: int) -> UID:
    """Tracking UID of organ `number` (from 1)."""
    return _derive(run, "organ", number)


def observation_uid(run: Run, *place: str | int) -> UID:
    """Observation UID of what stands at this place of the run's reports."""
    return _derive(run, "observation", *place)


class Builder(Protocol):
    """Makes the DICOM objects of one kind of a job's findings; valid on return, or it raises. None of them: nothing to show."""

    def __call__(self, volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]: ...


def _derive(run: Run, *names: str | int) -> UID:
    return UID(f"2.25.{uuid.uuid5(run.job_uid, '/'.join(str(name) for name in names)).int}")
