"""The source's headers made fit to build on: tolerant of what is read, strict in what is handed on."""

import re
from copy import copy
from typing import NamedTuple
from uuid import UUID

from pydicom.charset import convert_encodings, python_encoding
from pydicom.config import RAISE
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import DA, DT, TM, PersonName, format_number_as_ds, validate_value

from cad_node.imaging.volume import Volume
from cad_node.log import get_logger
from cad_node.output.builder import Run, derive_uid

log = get_logger()

UTF_8 = "ISO_IR 192"


def reference_headers(volume: Volume, run: Run) -> list[Dataset]:
    """One header per slice, in slice order; the first carries patient and study too.

    Orientation and spacing are the volume's: one for all slices. Each object of a run asks for the same: they are kept until another does.
    """
    global _latest  # noqa: PLW0603 - one set of headers, replaced as a whole
    key = (run.job_uid, run.keeps_empty_frames)
    if _latest is None or _latest.sources is not volume.sources or _latest.key != key:
        _latest = _Made(volume.sources, key, _made(volume, run))
    first, *others = _latest.headers
    return [_own(first), *(_shared(header) for header in others)]


def study_header(source: Dataset) -> Dataset:
    """What one image says of patient and study; type 2 attributes that are absent become empty, values that break their VR are left out."""
    header = _sound(source)
    for keyword in _TYPE_2:
        if keyword not in header:
            setattr(header, keyword, None)
    if header.PatientSex not in ("M", "F", "O"):
        header.PatientSex = ""
    return header


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


class _Made(NamedTuple):
    sources: tuple[Dataset, ...]
    key: tuple[UUID, bool]
    headers: list[Dataset]


_latest: _Made | None = None


def _made(volume: Volume, run: Run) -> list[Dataset]:
    first = study_header(volume.sources[0])
    _add_geometry(first, volume.sources[0], volume, run)
    return [first, *(_slice_header(source, volume, run) for source in volume.sources[1:])]


def _own(header: Dataset) -> Dataset:
    """A data set with elements of its own: objects take patient and study over, and what is written to one must not be in the next."""
    own = Dataset()
    own.update({element.tag: copy(element) for element in header})
    return own


def _shared(header: Dataset) -> Dataset:
    """A data set of its own, of the same elements, which are only read."""
    shared = Dataset()
    shared.update(header)
    return shared


def _sound(source: Dataset) -> Dataset:
    """A shallow copy without the elements whose values can't be read or break their VR; they are logged once, by tag."""
    _keep_name_as_stored(source)
    header, left_out = Dataset(), []
    for tag in source.keys():  # noqa: SIM118 - iterating over a Dataset itself reads, and raises at, every element
        try:
            element = copy(source[tag])  # an element is mutable: the source must not change with the header
            _check(element)
            header.add(element)
        except (ValueError, TypeError, ArithmeticError, NotImplementedError):
            left_out.append(str(tag))
    if left_out:
        log.warning("source.elements_left_out", series=str(source.SeriesInstanceUID), tags=left_out)
    return header


def _keep_name_as_stored(source: Dataset) -> None:
    """pydicom forgets a name's bytes once it has decoded them; where they aren't of the stated set, it would write another name."""
    stored = source.get_item("PatientName")
    if isinstance(stored, RawDataElement) and stored.value and b"\\" not in stored.value:
        encodings = convert_encodings(source.get("SpecificCharacterSet"))
        source.PatientName = PersonName(stored.value.rstrip(b" \0"), encodings)


def _check(element: DataElement) -> None:
    """Raises ValueError unless the value has the form of its VR. Text and UIDs pass: they are the identity of things, right or wrong."""
    values = element.value if isinstance(element.value, MultiValue) else [element.value]
    for value in values:
        if element.VR in ("DS", "IS") and isinstance(value, str) and value:  # what pydicom couldn't make a number of
            raise ValueError("not a number")
        if element.VR in ("AS", "CS") and element.keyword != "SpecificCharacterSet":  # character_set() judges that
            validate_value(element.VR, value, RAISE)
        if element.VR in ("DA", "DT", "TM") and value:
            {"DA": DA, "DT": DT, "TM": TM}[element.VR](str(value))


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


_TYPE_2 = (  # of the Patient and General Study modules, PS3.3 C.7.1.1 and C.7.2.1
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
