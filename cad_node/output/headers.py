"""The source's headers made fit to build on: tolerant of what is read, strict in what is handed on."""

import re
from collections.abc import Callable, Mapping
from copy import copy

from pydicom.charset import python_encoding
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import DA, TM, format_number_as_ds

from cad_node.imaging.volume import Volume
from cad_node.log import get_logger
from cad_node.output.builder import Run, derive_uid

log = get_logger()

UTF_8 = "ISO_IR 192"


def reference_headers(volume: Volume, run: Run) -> list[Dataset]:
    """One header per slice, in slice order; the first carries patient and study too.

    Type 2 attributes that are absent become empty, values that break their VR are left out,
    orientation and spacing are the volume's: one for all slices.
    """
    first = _readable(volume.sources[0])
    for keyword, is_valid in _TYPE_2.items():
        if keyword not in first or not is_valid(first[keyword].value):
            setattr(first, keyword, None)
    _add_geometry(first, volume.sources[0], volume, run)
    return [first, *(_slice_header(source, volume, run) for source in volume.sources[1:])]


def character_set(header: Dataset, run: Run) -> str | MultiValue[str] | None:
    """Specific Character Set to write: the source's, so that names keep their bytes; UTF-8 where it can't hold our own texts."""
    value: str | MultiValue[str] | None = header.get("SpecificCharacterSet")
    terms = [value or ""] if value is None or isinstance(value, str) else list(value)
    is_known = all(term in python_encoding for term in terms)
    return value if is_known and run.manifest.model_dump_json().isascii() else UTF_8


def timezone_offset(header: Dataset, run: Run) -> str:
    """Timezone Offset From UTC: the source's, for its dates are copied; else that of the run's clock, PS3.3 C.12.1.1.8."""
    offset = str(header.get("TimezoneOffsetFromUTC") or "")
    return offset if re.fullmatch(r"[+-]\d{4}", offset) else run.started_at.strftime("%z")


def _readable(source: Dataset) -> Dataset:
    """A shallow copy without the elements whose values can't be read; they are logged once, by tag."""
    header, unreadable = Dataset(), []
    for tag in source.keys():  # noqa: SIM118 - iterating over a Dataset itself reads, and raises at, every element
        try:
            header.add(copy(source[tag]))  # an element is mutable: the source must not change with the header
        except (ValueError, TypeError, ArithmeticError, NotImplementedError):
            unreadable.append(str(tag))
    if unreadable:
        log.warning("source.elements_unreadable", series=str(source.SeriesInstanceUID), tags=unreadable)
    return header


def _slice_header(source: Dataset, volume: Volume, run: Run) -> Dataset:
    header = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "Rows", "Columns"):
        setattr(header, keyword, source[keyword].value)
    _add_geometry(header, source, volume, run)
    return header


def _add_geometry(header: Dataset, source: Dataset, volume: Volume, run: Run) -> None:
    first = volume.sources[0]
    slice_spacing = format_number_as_ds(volume.spacing_mm[0])
    header.FrameOfReferenceUID = first.get("FrameOfReferenceUID") or derive_uid(run, "frame of reference")
    header.PositionReferenceIndicator = first.get("PositionReferenceIndicator")
    header.ImageOrientationPatient = first.ImageOrientationPatient
    header.ImagePositionPatient = source.ImagePositionPatient
    header.PixelSpacing = first.PixelSpacing
    header.SliceThickness = first.get("SliceThickness") or slice_spacing
    header.SpacingBetweenSlices = slice_spacing  # the header's is often absent, sometimes the thickness


def _is_date(value: object) -> bool:
    return _parses(DA, value)


def _is_time(value: object) -> bool:
    return _parses(TM, value)


def _parses(parse: Callable[[str], object], value: object) -> bool:
    try:
        parse(str(value or ""))
    except ValueError:
        return False
    return True


def _anything(_: object) -> bool:
    return True


_TYPE_2: Mapping[str, Callable[[object], bool]] = {  # of the Patient and General Study modules, PS3.3 C.7.1.1 and C.7.2.1
    "PatientName": _anything,
    "PatientID": _anything,
    "PatientBirthDate": _is_date,
    "PatientSex": lambda value: value in ("M", "F", "O", "", None),
    "AccessionNumber": _anything,
    "StudyID": _anything,
    "StudyDate": _is_date,
    "StudyTime": _is_time,
    "ReferringPhysicianName": _anything,
}
