"""What a PACS has: a study's instances, and the patient's earlier studies."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from pydicom.dataset import Dataset

from cad_node.errors import CadNodeError
from cad_node.query.association import QueryPeer
from cad_node.query.find import find
from cad_node.query.retrieve import Request

_UIDS_PER_REQUEST = 500  # a value of VR UI has at most 65,534 bytes, PS3.5 7.1.2


class NotThere(CadNodeError):
    """The PACS has no such study or series, or doesn't tell what the request needs to know of it."""


@dataclass(frozen=True, slots=True)
class StudyThere:
    study_instance_uid: str
    study_date: str  # YYYYMMDD; empty where the PACS has none
    study_time: str
    modalities: frozenset[str]  # empty where the PACS doesn't tell


@dataclass(frozen=True, slots=True, order=True)
class InstanceThere:
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str  # empty where the PACS doesn't tell


def study_there(peer: QueryPeer, study_instance_uid: str) -> StudyThere:
    """The study as the PACS describes it. Raises NotThere, and the errors of find."""
    return _study(_study_match(peer, study_instance_uid, ()))


def priors_there(peer: QueryPeer, study_instance_uid: str, count: int) -> list[StudyThere]:
    """The newest `count` studies of the same patient that are older than this one and share a modality with it, newest first.

    Raises NotThere, and the errors of find. The Patient ID goes no further than the two queries.
    """
    match = _study_match(peer, study_instance_uid, ("PatientID", "IssuerOfPatientID"))
    study = _study(match)
    patient_id = _text(match, "PatientID")
    if not (patient_id and study.study_date):
        raise NotThere(f"study {study_instance_uid}: {peer} tells no Patient ID or no Study Date, so that its priors can't be found")
    keys = {**_STUDY_KEYS, "IssuerOfPatientID": "", "PatientID": patient_id, "StudyDate": f"-{study.study_date}"}
    of_patient = [_study(other) for other in find(peer, "STUDY", keys) if _is_same_patient(match, other)]
    earlier = [other for other in of_patient if _when(other) < _when(study) and _may_compare(study, other)]
    return sorted(earlier, key=_when, reverse=True)[:count]


def instances_there(peer: QueryPeer, study_instance_uid: str, series_instance_uids: Collection[str] = ()) -> list[InstanceThere]:
    """Every instance of the study, or of these series of it, in order. Raises NotThere for a series that isn't there."""
    there = {_text(match, "SeriesInstanceUID") for match in find(peer, "SERIES", {**_of(study_instance_uid), "SeriesInstanceUID": ""})}
    if missing := set(series_instance_uids) - there:
        raise NotThere(f"study {study_instance_uid}: {peer} has no series {', '.join(sorted(missing))}")
    wanted = set(series_instance_uids) or there
    return sorted({instance for uid in wanted for instance in _instances(peer, study_instance_uid, uid)})


def requests(study_instance_uid: str, there: Sequence[InstanceThere], wanted: Collection[str], *, is_whole: bool) -> list[Request]:
    """The fewest retrieves that bring the `wanted` SOP Instance UIDs, and nothing else, of the instances `there`.

    is_whole: `there` is all of the study.
    """
    if is_whole and {instance.sop_instance_uid for instance in there} <= set(wanted):
        return [Request("STUDY", _of(study_instance_uid), len(there))] if there else []
    by_series = groupby(sorted(there), key=attrgetter("series_instance_uid"))
    return [request for uid, series in by_series for request in _series_requests(study_instance_uid, uid, list(series), wanted)]


_STUDY_KEYS = {"StudyInstanceUID": "", "StudyDate": "", "StudyTime": "", "ModalitiesInStudy": ""}


def _of(study_instance_uid: str) -> dict[str, Sequence[str]]:
    return {"StudyInstanceUID": study_instance_uid}


def _study_match(peer: QueryPeer, study_instance_uid: str, more: Sequence[str]) -> Dataset:
    keys = {**_STUDY_KEYS, **dict.fromkeys(more, ""), **_of(study_instance_uid)}
    for match in find(peer, "STUDY", keys):
        if _text(match, "StudyInstanceUID") == study_instance_uid:
            return match
    raise NotThere(f"{peer} has no study {study_instance_uid}, or doesn't show it to us")


def _study(match: Dataset) -> StudyThere:
    modalities = match.get("ModalitiesInStudy") or ()
    listed = (modalities,) if isinstance(modalities, str) else modalities
    return StudyThere(_text(match, "StudyInstanceUID"), _text(match, "StudyDate"), _text(match, "StudyTime"), frozenset(map(str, listed)))


def _instances(peer: QueryPeer, study_instance_uid: str, series_instance_uid: str) -> Iterator[InstanceThere]:
    keys = {**_of(study_instance_uid), "SeriesInstanceUID": series_instance_uid, "SOPInstanceUID": "", "SOPClassUID": ""}
    for match in find(peer, "IMAGE", keys):
        yield InstanceThere(series_instance_uid, _text(match, "SOPInstanceUID"), _text(match, "SOPClassUID"))


def _series_requests(
    study_instance_uid: str, series_instance_uid: str, there: Sequence[InstanceThere], wanted: Collection[str]
) -> Iterator[Request]:
    uids = [instance.sop_instance_uid for instance in there if instance.sop_instance_uid in wanted]
    keys = {**_of(study_instance_uid), "SeriesInstanceUID": series_instance_uid}
    if len(uids) == len(there):
        yield Request("SERIES", keys, len(there))
        return
    for start in range(0, len(uids), _UIDS_PER_REQUEST):
        some = uids[start : start + _UIDS_PER_REQUEST]
        yield Request("IMAGE", {**keys, "SOPInstanceUID": some}, len(some))


def _is_same_patient(match: Dataset, other: Dataset) -> bool:
    """A * or ? in a Patient ID matches others too, and two issuers may give the same ID to two patients."""
    issuers = {_text(match, "IssuerOfPatientID"), _text(other, "IssuerOfPatientID")} - {""}
    return _text(match, "PatientID") == _text(other, "PatientID") and len(issuers) < 2


def _may_compare(study: StudyThere, other: StudyThere) -> bool:
    return not (study.modalities and other.modalities) or bool(study.modalities & other.modalities)


def _when(study: StudyThere) -> tuple[str, str]:
    return study.study_date, study.study_time


def _text(match: Dataset, keyword: str) -> str:
    value: Any = match.get(keyword)  # of whichever type
    return "" if value is None else str(value).strip()
