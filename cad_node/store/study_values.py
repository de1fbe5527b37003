"""A study as others see it: its instances as they arrive, its state, and the jobs it gets."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cad_node.lifecycle import StepState, StudyState


@dataclass(frozen=True, slots=True)
class ReceivedInstance:
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    modality: str
    path: Path
    digest: str
    header: Mapping[str, Any]  # HEADER_KEYWORDS -> JSON value
    is_result: bool  # made by a CAD system, this one or another: kept, never input
    calling_ae_title: str = ""  # of the sender; empty where nobody sent it


@dataclass(frozen=True, slots=True)
class Indexed:
    """How the instances of a batch fared; those in neither list were there already."""

    new: Sequence[ReceivedInstance]
    conflicts: Sequence[ReceivedInstance]  # another content has the UID


@dataclass(frozen=True, slots=True)
class NewJob:
    model_name: str
    model_version: str
    series_instance_uid: str | None
    priority: int
    refusal_code: str | None  # the model can't take the study: the row is born REFUSED
    refusal_sentence: str
    evidence: str = ""  # that what the model needs has come


@dataclass(frozen=True, slots=True)
class SeriesEvidence:
    """When the images of a series came, and from whom."""

    series_instance_uid: str
    last_instance_at: datetime
    association_ended_at: datetime | None  # of an association that ended after the last image
    calling_ae_title: str = ""  # that sent the last image


@dataclass(frozen=True, slots=True)
class PerformedStep:
    """What a modality says of one step of an examination, PS3.4 F.7."""

    sop_instance_uid: str
    state: StepState
    images: Mapping[str, Collection[str]]  # Series Instance UID -> SOP Instance UIDs


@dataclass(frozen=True, slots=True)
class Evidence:
    """What there is to judge by whether a study has come, as a whole and series by series."""

    study_instance_uid: str
    revision: int
    last_instance_at: datetime
    series: tuple[SeriesEvidence, ...]  # those with images
    steps: tuple[PerformedStep, ...] = ()


@dataclass(frozen=True, slots=True)
class StudySummary:
    study_instance_uid: str
    state: StudyState
    revision: int
    series: int
    instances: int
    conflicts: int
    received_at: datetime
    last_instance_at: datetime
    removed_at: datetime | None  # what it had until then is gone
