"""Rules of AIR for every result: who made it, where it belongs, when it was made."""

import re
from collections.abc import Sequence

from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from cad_node.checks.air import Judged, Rule, Verdict
from cad_node.checks.air_subject import Kind, Subject

RESULTS = frozenset(Kind) - {Kind.IMAGE}
GENERAL = "6.5.3.1"

_DETAILS = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceUID")
_ALLOWED = {Kind.SEGMENTATION, Kind.PARAMETRIC_MAP, Kind.KEY_OBJECTS}


def _object_type(subject: Subject, _: Sequence[Subject]) -> Judged:
    sop_class_uid = str(subject.ds.SOPClassUID)
    if subject.kind in _ALLOWED or sop_class_uid == uid.Comprehensive3DSRStorage:
        return Verdict.OK, uid.UID(sop_class_uid).name
    return Verdict.VIOLATED, f"{uid.UID(sop_class_uid).name} isn't among Comprehensive 3D SR, Segmentation, Parametric Map, Key Objects"


def _processing_equipment(subject: Subject, _: Sequence[Subject]) -> Judged:
    if subject.equipment:
        return Verdict.OK, ", ".join(str(item.get("ManufacturerModelName", "without a name")) for item in subject.equipment)
    return Verdict.VIOLATED, "ContributingEquipmentSequence has no item with the purpose (109102, DCM, Processing Equipment)"


def _equipment_details(subject: Subject, _: Sequence[Subject]) -> Judged:
    if not subject.equipment:
        return Verdict.CANT_TELL, "no equipment is named"
    missing = sorted({keyword for item in subject.equipment for keyword in _DETAILS if not item.get(keyword)})
    return (Verdict.VIOLATED, f"without {', '.join(missing)}") if missing else (Verdict.OK, "")


def _algorithm_is_the_equipment(subject: Subject, _: Sequence[Subject]) -> Judged:
    if not subject.algorithms:
        return Verdict.NOT_APPLICABLE, "its content names no algorithm"
    if not subject.equipment:
        return Verdict.CANT_TELL, "no equipment is named"
    models = {str(item.get("ManufacturerModelName", "")) for item in subject.equipment}
    versions = " ".join(_versions(item) for item in subject.equipment).split()
    for name, version in sorted(subject.algorithms):
        if name not in models:
            return Verdict.VIOLATED, f"the algorithm {name!r} is none of the equipment: {', '.join(sorted(models))}"
        if version not in versions:
            return Verdict.VIOLATED, f"version {version!r} of {name!r} isn't among the equipment's software versions"
    return Verdict.OK, ", ".join(f"{name} {version}" for name, version in sorted(subject.algorithms))


def _same_algorithm_everywhere(subject: Subject, subjects: Sequence[Subject]) -> Judged:
    """Of what the same device made."""
    alike = [one for one in subjects if one is not subject and one.algorithms and _device_uids(one) & _device_uids(subject)]
    if not subject.algorithms or not alike:
        return Verdict.NOT_APPLICABLE, "no other of the files names an algorithm of the same device"
    for other in alike:
        if not subject.algorithms & other.algorithms:
            return Verdict.VIOLATED, f"{other.name} names another algorithm"
    return Verdict.OK, f"as in {len(alike)} other{'s' * (len(alike) > 1)}"


def _device_observer(subject: Subject, _: Sequence[Subject]) -> Judged:
    observers = {str(item.ds.get("UID", "")) for item in subject.root.of(codes.DCM.DeviceObserverUID)} if subject.root else set()
    if not observers:
        return Verdict.VIOLATED, "no Device Observer UID: the algorithm is to be the observer"
    if not subject.equipment:
        return Verdict.CANT_TELL, "no equipment is named"
    if observers & _device_uids(subject):
        return Verdict.OK, ""
    return Verdict.VIOLATED, "the Device Observer UID isn't the equipment's Device UID"


def _device_uid_follows_the_model(subject: Subject, subjects: Sequence[Subject]) -> Judged:
    own = {str(item.get("DeviceUID", "")): _model(item) for item in subject.equipment if item.get("DeviceUID")}
    if not own:
        return Verdict.CANT_TELL, "no Device UID"
    others = [(str(item.get("DeviceUID", "")), _model(item), one.name) for one in subjects if one is not subject for item in one.equipment]
    if not others:
        return Verdict.CANT_TELL, "only one file of a device was given"
    for device_uid, model, name in others:
        if device_uid in own and own[device_uid] != model:
            return Verdict.VIOLATED, f"{name} has the same Device UID for another model or version"
    return Verdict.OK, ""


def _same_study(subject: Subject, subjects: Sequence[Subject]) -> Judged:
    images = {one.study_instance_uid for one in subjects if one.kind is Kind.IMAGE}
    evidence = subject.ds.get("CurrentRequestedProcedureEvidenceSequence") or ()
    named = {str(item.get("StudyInstanceUID", "")) for item in evidence}
    if named and subject.study_instance_uid not in named:
        return Verdict.VIOLATED, "its evidence is of other studies only"
    if named:
        return Verdict.OK, "as its evidence"
    if subject.ds.get("ReferencedSeriesSequence"):  # by its definition of the same study, PS3.3 C.12.2
        return Verdict.OK, "as the series it refers to"
    if subject.study_instance_uid in images:
        return Verdict.OK, "as images that were given"
    return Verdict.CANT_TELL, "it names no images, and none of its study were given"


def _same_patient(subject: Subject, subjects: Sequence[Subject]) -> Judged:
    others = [one for one in subjects if one is not subject and one.study_instance_uid == subject.study_instance_uid]
    if not others:
        return Verdict.NOT_APPLICABLE, "no other file of its study was given"
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyDate", "AccessionNumber"):
        for other in others:
            if (subject.ds.get(keyword) or "") != (other.ds.get(keyword) or ""):
                return Verdict.VIOLATED, f"{keyword} differs from that in {other.name}"
    return Verdict.OK, f"as in {len(others)} other{'s' * (len(others) > 1)} of its study"


def _own_series(subject: Subject, subjects: Sequence[Subject]) -> Judged:
    beside = [one for one in subjects if one is not subject and one.series_instance_uid == subject.series_instance_uid]
    for other in beside:
        if other.ds.get("SOPClassUID") != subject.ds.get("SOPClassUID"):
            return Verdict.VIOLATED, f"{other.name} is in the same series, and of another kind"
        if _device_uids(other) != _device_uids(subject):
            return Verdict.VIOLATED, f"{other.name} is in the same series, and of another algorithm"
    return (Verdict.OK, "") if subject.series_instance_uid else (Verdict.VIOLATED, "no SeriesInstanceUID")


def _series_number(subject: Subject, subjects: Sequence[Subject]) -> Judged:
    number = subject.ds.get("SeriesNumber")
    if number is None:
        return Verdict.VIOLATED, "SeriesNumber is missing or empty"
    for other in subjects:
        same_study = other.study_instance_uid == subject.study_instance_uid
        same_kind = other.ds.get("SOPClassUID") == subject.ds.get("SOPClassUID")  # of another run, or another algorithm
        if same_study and not same_kind and other.ds.get("SeriesNumber") == number:
            return Verdict.VIOLATED, f"{other.name}, of another kind in the study, has the same number {number}"
    return Verdict.OK, str(number)


def _timezone(subject: Subject, _: Sequence[Subject]) -> Judged:
    offset = str(subject.ds.get("TimezoneOffsetFromUTC") or "")
    if re.fullmatch(r"[+-]\d{4}", offset):
        return Verdict.OK, offset
    return Verdict.VIOLATED, f"TimezoneOffsetFromUTC is {'not ±HHMM' if offset else 'missing'}"


def _content_date(subject: Subject, _: Sequence[Subject]) -> Judged:
    missing = [keyword for keyword in ("ContentDate", "ContentTime") if not subject.ds.get(keyword)]
    return (Verdict.VIOLATED, f"without {', '.join(missing)}") if missing else (Verdict.OK, str(subject.ds.ContentDate))


def _device_uids(subject: Subject) -> set[str]:
    return {str(item.DeviceUID) for item in subject.equipment if item.get("DeviceUID")}


def _model(item: Dataset) -> tuple[str, str]:
    return str(item.get("ManufacturerModelName", "")), _versions(item)


def _versions(item: Dataset) -> str:
    value = item.get("SoftwareVersions") or ()
    return value if isinstance(value, str) else " ".join(value)


REPORTS = frozenset({Kind.REPORT})
GENERAL_RULES = (
    Rule("object-type", "Table 6.5.3-1", "A result is one of the object types that AIR names.", RESULTS, _object_type),
    Rule("equipment", GENERAL, "Contributing Equipment names what processed the images.", RESULTS, _processing_equipment),
    Rule("equipment-details", GENERAL, "It has manufacturer, model name, software versions, Device UID.", RESULTS, _equipment_details),
    Rule(
        "algorithm",
        GENERAL,
        "The algorithm that the content names is that equipment, in that version.",
        RESULTS,
        _algorithm_is_the_equipment,
    ),
    Rule("algorithm-everywhere", GENERAL, "Objects of the same device name the same algorithm.", RESULTS, _same_algorithm_everywhere),
    Rule("device-observer", GENERAL, "The observer of a report is the device that made it.", REPORTS, _device_observer),
    Rule("device-uid", GENERAL, "The Device UID changes with the model and its version.", RESULTS, _device_uid_follows_the_model),
    Rule("study", GENERAL, "A result is in the study of its images.", RESULTS, _same_study),
    Rule("patient", GENERAL, "Patient and study are told alike in all objects of a study.", frozenset(Kind), _same_patient),
    Rule("series", GENERAL, "A series for each algorithm and kind of object.", RESULTS, _own_series),
    Rule("series-number", GENERAL, "A series has a number, and none of another kind in its study the same.", RESULTS, _series_number),
    Rule("timezone", GENERAL, "Timezone Offset From UTC is there.", RESULTS, _timezone),
    Rule("content-date", GENERAL, "Content Date and Time are there.", RESULTS, _content_date),
)
