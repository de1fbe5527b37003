"""The node's own results as a query sees them: patients, studies, series and instances, read from the files' headers.

Nothing of a patient is in the tables, so that each answer is read from the files.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag

from cad_node.log import get_logger
from cad_node.store.held import HeldResult

log = get_logger()

PATIENT, STUDY, SERIES, IMAGE = LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag


UNIQUE_KEYS: Mapping[str, str] = {
    PATIENT: "PatientID",
    STUDY: "StudyInstanceUID",
    SERIES: "SeriesInstanceUID",
    IMAGE: "SOPInstanceUID",
}
# The keys that are answered and matched, by level: every one that PS3.4 Tables C.6-1 to C.6-4 require, and what viewers ask for.
_HEADER_KEYS: Mapping[str, tuple[str, ...]] = {
    PATIENT: ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    STUDY: ("StudyDate", "StudyTime", "AccessionNumber", "StudyID", "StudyInstanceUID", "ReferringPhysicianName", "StudyDescription"),
    SERIES: ("Modality", "SeriesNumber", "SeriesInstanceUID", "SeriesDescription", "SeriesDate", "SeriesTime", "BodyPartExamined"),
    IMAGE: (
        *("InstanceNumber", "SOPInstanceUID", "SOPClassUID", "ContentDate", "ContentTime", "ContentLabel", "ContentDescription"),
        *("NumberOfFrames", "Rows", "Columns", "CompletionFlag", "VerificationFlag"),
    ),
}


def _distinct(keyword: str) -> Callable[[Sequence[Dataset]], list[str]]:
    return lambda headers: sorted({str(header.get(keyword, "")) for header in headers} - {""})


def _number_of(keyword: str) -> Callable[[Sequence[Dataset]], int]:
    return lambda headers: len({str(header.get(keyword, "")) for header in headers})


_COMPUTED_KEYS: Mapping[str, Mapping[str, Callable[[Sequence[Dataset]], Any]]] = {
    PATIENT: {
        "NumberOfPatientRelatedStudies": _number_of("StudyInstanceUID"),
        "NumberOfPatientRelatedSeries": _number_of("SeriesInstanceUID"),
        "NumberOfPatientRelatedInstances": len,
    },
    STUDY: {
        "ModalitiesInStudy": _distinct("Modality"),
        "SOPClassesInStudy": _distinct("SOPClassUID"),
        "NumberOfStudyRelatedSeries": _number_of("SeriesInstanceUID"),
        "NumberOfStudyRelatedInstances": len,
    },
    SERIES: {"NumberOfSeriesRelatedInstances": len},
    IMAGE: {},
}
_READ: list[BaseTag | int] = [_tag(keyword) for keywords in (("SpecificCharacterSet",), *_HEADER_KEYS.values()) for keyword in keywords]
_LAST_GROUP = 0x51FF  # behind it come functional groups, of which a Segmentation has many, and pixels


@dataclass(frozen=True, slots=True)
class Entity:
    """One patient, study, series or instance: what its results say in their headers."""

    headers: tuple[Dataset, ...]

    def element(self, keyword: str) -> DataElement | None:
        """What it has for a key; None: nothing."""
        for computed in _COMPUTED_KEYS.values():
            if keyword in computed:
                return DataElement(_tag(keyword), dictionary_VR(keyword), computed[keyword](self.headers))
        return self.headers[0].get(_tag(keyword))


def keys_down_to(level: str) -> frozenset[str]:
    """The keys that a query at this level may hold: its own, and those of the levels above."""
    above = LEVELS[: LEVELS.index(level) + 1]
    return frozenset(keyword for each in above for keyword in (*_HEADER_KEYS[each], *_COMPUTED_KEYS[each]))


def entities(results: Iterable[HeldResult], level: str) -> Iterator[Entity]:
    """The entities of a level, each read when it is asked for; results: in order of study and series, as Held gives them."""
    if level == PATIENT:
        by_patient: dict[str, list[Dataset]] = {}
        for _, header in _read_all(results):
            by_patient.setdefault(str(header.get("PatientID", "")), []).append(header)
        yield from (Entity(tuple(headers)) for headers in by_patient.values())
        return
    for _, group in groupby(results, key=lambda result: result[: LEVELS.index(level)]):
        if headers := tuple(header for _, header in _read_all(group)):
            yield Entity(headers)


def of_patients(results: Sequence[HeldResult], patient_ids: Sequence[str]) -> list[HeldResult]:
    """Those of the results that belong to one of the patients."""
    return [result for result, header in _read_all(results) if str(header.get("PatientID", "")) in patient_ids]


def _read_all(results: Iterable[HeldResult]) -> Iterator[tuple[HeldResult, Dataset]]:
    for result in results:
        if header := _read(result):
            yield result, header


def _read(result: HeldResult) -> Dataset | None:
    try:
        with result.path.open("rb") as file:
            return read_partial(file, stop_when=_is_behind, specific_tags=_READ)
    except Exception as error:  # noqa: BLE001 - pydicom raises anything on a broken file, which costs only its own answer
        log.warning("result.unreadable", sop_instance_uid=result.sop_instance_uid, error=type(error).__name__)
        return None


def _is_behind(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group > _LAST_GROUP
