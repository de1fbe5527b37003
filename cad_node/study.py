"""What was received, as values: instances, series, study."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Instance:
    """One received SOP Instance and where its file lies."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: Path
    header: Mapping[str, Any] = field(default_factory=dict)  # HEADER_KEYWORDS -> JSON value; absent when the tag is


@dataclass(frozen=True, slots=True)
class Series:
    series_instance_uid: str
    modality: str
    instances: tuple[Instance, ...]

    def header_value(self, keyword: str) -> Any:
        """The first value any instance has for `keyword`, or None."""
        return next((i.header[keyword] for i in self.instances if i.header.get(keyword) not in (None, "")), None)


@dataclass(frozen=True, slots=True)
class Study:
    study_instance_uid: str
    revision: int  # 1 for the first complete study, one more each time late images arrive
    series: tuple[Series, ...]


# What the index keeps of each instance's header: enough to choose a series and to check its geometry
# without opening a file. None of them identifies a patient.
HEADER_KEYWORDS = (
    "ImageType",
    "BodyPartExamined",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "ConvolutionKernel",
    "ViewPosition",
    "InstanceNumber",
)
