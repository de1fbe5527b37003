"""Values as PS3.5 wants them: form and number of each value, character set, lengths, order, File Meta Information."""

import re
from collections.abc import Container, Iterator
from functools import lru_cache
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.config import RAISE
from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.valuerep import DA, DT, TM, validate_value

_DEFAULT = ["iso8859"]  # pydicom's name of the default repertoire, which is ASCII
UNDEFINED_LENGTH = 0xFFFFFFFF

_TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})  # in the character set of the data set, PS3.5 6.1.2.3
_BYTES = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_ONE_VALUE = frozenset({"LT", "ST", "UT", "UR"})  # a backslash separates nothing
_VALUE_BYTES = {"AT": 4, "FL": 4, "FD": 8, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
_UID = re.compile(rb"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")  # PS3.5 9.1
_LONG = 256  # bytes, from which the many numbers of an outline are judged at once: they hardly repeat
_MANY_DS = re.compile(rb"[-+0-9.eE ]{1,16}(\\[-+0-9.eE ]{1,16})*")  # PS3.5 6.2
_TIMES = {"DA": DA, "DT": DT, "TM": TM}
_AMBIGUOUS = {"US or SS": {"US", "SS"}, "OB or OW": {"OB", "OW"}, "US or OW": {"US", "OW"}, "US or SS or OW": {"US", "SS", "OW"}}


def malformed_values(ds: FileDataset, source: Dataset, foreign_uids: Container[str] = ()) -> Iterator[str]:
    """A sentence for each element whose encoding breaks PS3.5; no value is quoted, it may be a patient's.

    source: an image it was made from; what it says of patient and study is handed on, right or wrong.
    foreign_uids: of the source, by which they are referred to, whatever their form.
    """
    yield from _wrong_meta(ds)
    yield from (fault for _, fault in _walk(ds.file_meta, _DEFAULT, "", foreign_uids))
    for tag, fault in _walk(ds, _DEFAULT, "", foreign_uids):
        if not is_handed_on(tag, ds, source):
            yield fault


def is_handed_on(tag: BaseTag, ds: Dataset, source: Dataset) -> bool:
    """Whether an element of the top level says what the source says."""
    try:
        return tag in source and tag in ds and bool(source[tag].value == ds[tag].value)
    except (ValueError, TypeError, ArithmeticError):  # neither can be read
        return False


def _wrong_meta(ds: FileDataset) -> Iterator[str]:
    """PS3.10 7.1"""
    meta = ds.file_meta
    for keyword, of in (("MediaStorageSOPClassUID", "SOPClassUID"), ("MediaStorageSOPInstanceUID", "SOPInstanceUID")):
        if meta.get(keyword) != ds.get(of):
            yield f"{keyword} in the File Meta Information isn't the {of} of the data set"
    for keyword in ("TransferSyntaxUID", "ImplementationClassUID", "FileMetaInformationVersion"):
        if not meta.get(keyword):
            yield f"{keyword} is missing in the File Meta Information"


def _walk(ds: Dataset, encodings: list[str], where: str, foreign_uids: Container[str]) -> Iterator[tuple[BaseTag, str]]:
    """(element of the top level, fault)"""
    if "SpecificCharacterSet" in ds:
        encodings = convert_encodings(ds.SpecificCharacterSet)
    before = 0
    for tag, element in ds.items():  # as they were read; iterating over a Dataset itself sorts, and converts every value
        name = where + _name(tag)
        if int(tag) <= before:
            yield tag, f"{name} comes after a higher tag"
        before = int(tag)
        if element.VR == "SQ":
            for item in ds[tag].value:  # noqa: PLR1733 - what was read are bytes
                yield from ((tag, fault) for _, fault in _walk(item, encodings, f"{name}/", foreign_uids))
        elif isinstance(element, RawDataElement):
            yield from ((tag, f"{name} {fault}") for fault in _faults(element, encodings, foreign_uids))
        else:
            yield from ((tag, f"{name} {fault}") for fault in _counted(element))


def _faults(element: RawDataElement, encodings: list[str], foreign_uids: Container[str]) -> Iterator[str]:
    vr, raw = element.VR or "UN", element.value or b""
    if element.length % 2 and element.length != UNDEFINED_LENGTH:
        yield "has an odd length"  # PS3.5 7.1.1
    if not _vr_fits(element.tag, vr):
        yield f"has the VR {vr}, not {dictionary_VR(element.tag)}"
    if vr in _VALUE_BYTES:
        if len(raw) % _VALUE_BYTES[vr]:
            yield f"has {len(raw)} bytes, no multiple of {_VALUE_BYTES[vr]}"
        yield from _miscounted(element.tag, len(raw) // _VALUE_BYTES[vr])
    elif raw and vr not in _BYTES and not (vr == "UI" and raw.rstrip(b"\0 ").decode("ascii", "replace") in foreign_uids):
        yield from _text_faults(element.tag, vr, raw, encodings)


def _text_faults(tag: BaseTag, vr: str, raw: bytes, encodings: list[str]) -> Iterator[str]:
    if vr in _TEXT:
        text = _decoded(raw, encodings)
        if text is None:
            yield "isn't in the character set that the object names"  # PS3.3 C.12.1.1.2
            return
        values: list[Any] = [text.rstrip(" ")] if vr in _ONE_VALUE else [value.strip(" ") for value in text.split("\\")]
    else:
        values = [raw.rstrip(b" \0")] if vr in _ONE_VALUE else [value.strip(b" \0") for value in raw.split(b"\\")]
    yield from _miscounted(tag, len(values))
    if vr == "DS" and len(raw) > _LONG:
        values = [b"0"] if _MANY_DS.fullmatch(raw) else [b"?"]
    for value in values:
        if value and not _is_sound(vr, value):
            yield f"has a value that a {vr} can't have"  # PS3.5 6.2
            return


def _decoded(raw: bytes, encodings: list[str]) -> str | None:
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    if encodings == _DEFAULT:
        return None
    if len(encodings) > 1 or b"\x1b" in raw:
        text = decode_bytes(raw, encodings, {0xD, 0xA, 0x9, 0xC})
        return None if "\ufffd" in text else text
    try:
        return raw.decode(encodings[0])
    except UnicodeDecodeError:
        return None


@lru_cache(maxsize=8192)  # the frames of an object repeat most values
def _is_sound(vr: str, value: str | bytes) -> bool:
    try:
        if vr == "UI" and isinstance(value, bytes):
            return len(value) <= 64 and _UID.fullmatch(value) is not None
        if vr in _TIMES and isinstance(value, bytes):
            _TIMES[vr](value.decode("ascii"))
        validate_value(vr, value, RAISE)
    except (ValueError, TypeError, NotImplementedError):
        return False
    return True


def _counted(element: DataElement) -> Iterator[str]:
    """What pydicom has converted while it read: the character set."""
    value = element.value
    yield from _miscounted(element.tag, len(value) if isinstance(value, MultiValue | list) else 1)


def _miscounted(tag: BaseTag, count: int) -> Iterator[str]:
    """PS3.6"""
    least, most, step = _multiplicity(tag)
    if count and (not least <= count <= most or (count - least) % step):
        yield f"has {count} values, not {dictionary_VM(tag)}"


@lru_cache(maxsize=4096)
def _multiplicity(tag: BaseTag) -> tuple[int, float, int]:
    """Least, most and step: of "3", "1-n", "2-2n"."""
    vm = dictionary_VM(tag) if not tag.is_private and dictionary_has_tag(tag) else ""
    first = re.match(r"\d+", vm)
    if first is None:
        return 0, float("inf"), 1
    least = int(first[0])
    if "-" not in vm:
        return least, least, 1
    last = vm.split("-")[1].split(" ", maxsplit=1)[0]
    if not last.endswith("n"):
        return least, int(last), 1
    return least, float("inf"), int(last[:-1] or 1)


@lru_cache(maxsize=4096)
def _vr_fits(tag: BaseTag, vr: str) -> bool:
    if tag.is_private or not dictionary_has_tag(tag):
        return True
    allowed = dictionary_VR(tag)
    return vr == allowed or vr in _AMBIGUOUS.get(allowed, ()) or vr == "UN"


@lru_cache(maxsize=4096)
def _name(tag: BaseTag) -> str:
    return (dictionary_keyword(tag) if dictionary_has_tag(tag) else "") or str(tag)
