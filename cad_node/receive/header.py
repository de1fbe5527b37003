"""The few header elements that the index needs, read from a data set's bytes; nothing of the patient among them."""

import math
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.uid import UID

from cad_node.receive.scan import CODINGS, Buffer, DataSetBytes, Element, ReadAt, elements, elements_of_item, items
from cad_node.receive.statuses import UnparseableDataset
from cad_node.study import HEADER_KEYWORDS


@dataclass(frozen=True, slots=True)
class Header:
    """A data set's identity and its entry in the index; text is empty where the element is absent."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    modality: str
    names_processing: bool  # ContributingEquipmentSequence names equipment that processed other instances
    index: Mapping[str, Any]  # HEADER_KEYWORDS -> JSON value; absent where the element is or isn't usable


def read_header(beginning: Buffer, transfer_syntax_uid: str, size: int | None = None, read_at: ReadAt | None = None) -> Header:
    """Read the header from the bytes of a data set as they came over the network, without decoding its pixels.

    beginning: the whole data set, or its first bytes (some 64 KiB hold most headers); then
    size is how many there are in all, and read_at reads the others, as in `lambda offset, count: os.pread(file, count, offset)`.
    Raises UnparseableDataset, also where the bytes end before the data set does.
    """
    is_implicit_vr, is_little_endian, is_deflated = _encoding(transfer_syntax_uid)
    data = _inflated(beginning, size, read_at) if is_deflated else DataSetBytes(beginning, size, read_at)
    found = {element.tag: element for element in elements(data, CODINGS[is_implicit_vr, is_little_endian], _WANTED)}
    if not found:
        raise UnparseableDataset("none of the elements that identify an instance; send it again from its source")
    order = "<" if is_little_endian else ">"
    values = ((entry.keyword, _value(data, found.get(entry.tag), entry, order)) for entry in _INDEX)
    return Header(
        study_instance_uid=_uid(data, found.get(_STUDY_INSTANCE_UID)),
        series_instance_uid=_uid(data, found.get(_SERIES_INSTANCE_UID)),
        sop_class_uid=_uid(data, found.get(_SOP_CLASS_UID)),
        sop_instance_uid=_uid(data, found.get(_SOP_INSTANCE_UID)),
        modality=_texts(_raw(data, found.get(_MODALITY)), order)[0][:_CODE_LIMIT],
        names_processing=_names_processing(data, found.get(_CONTRIBUTING_EQUIPMENT_SEQUENCE)),
        index={keyword: value for keyword, value in values if value is not None},
    )


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag


_IDENTITY = _STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID, _SOP_CLASS_UID, _SOP_INSTANCE_UID, _MODALITY = tuple(
    map(_tag, ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID", "Modality"))
)
_CONTRIBUTING_EQUIPMENT_SEQUENCE = _tag("ContributingEquipmentSequence")
_PURPOSE = frozenset({_tag("PurposeOfReferenceCodeSequence")})
_CODE_VALUE, _CODING_SCHEME_DESIGNATOR = _tag("CodeValue"), _tag("CodingSchemeDesignator")
_CODE = frozenset({_CODE_VALUE, _CODING_SCHEME_DESIGNATOR})
_SEQUENCE_VRS = frozenset({b"SQ", b"UN", b""})
_PROCESSING_EQUIPMENT = ("109102", "DCM")  # PS3.16 CID 7005
_INFLATED_HEADER_LIMIT = 16 << 20  # bytes: room for any header, and an end to a deflated data set made to fill the memory
_INFLATED_LIMIT = 4 << 30  # bytes: more than one value can hold, and an end to a deflated data set made to take for ever
_CHUNK_BYTES = 1 << 18
_VALUE_LIMIT = 1024  # bytes: more than any value of use to the index has, and an end to a list made to fill the memory
_CODE_LIMIT = 16  # characters of a CS, PS3.5 6.2
_TEXT_LIMIT = 64  # characters: the longest of the value representations in the index, PS3.5 6.2
_INTEGERS = range(-(2**31), 2**31)  # of an IS, PS3.5 6.2


@cache
def _encoding(transfer_syntax_uid: str) -> tuple[bool, bool, bool]:
    """Implicit VR, little endian, deflated."""
    syntax = UID(transfer_syntax_uid)
    try:
        return syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated
    except ValueError as exc:
        raise UnparseableDataset(f"{transfer_syntax_uid} isn't a transfer syntax; send it again in one of docs/conformance.md") from exc


def _inflated(beginning: Buffer, size: int | None, read_at: ReadAt | None) -> DataSetBytes:
    """A deflated data set, of which no more than a header needs is kept."""
    known, inflated_bytes = bytearray(), 0
    for chunk in _inflated_chunks(_chunks(beginning, size, read_at)):
        inflated_bytes += len(chunk)
        if inflated_bytes > _INFLATED_LIMIT:
            raise UnparseableDataset(f"the deflated data set is of more than {_INFLATED_LIMIT} bytes; send it in another transfer syntax")
        if len(known) < _INFLATED_HEADER_LIMIT:
            known += chunk
    return DataSetBytes(known, inflated_bytes)


def _chunks(beginning: Buffer, size: int | None, read_at: ReadAt | None) -> Iterator[Buffer]:
    """In pieces that zlib can be given one by one: it copies what it leaves over."""
    view = memoryview(beginning)
    yield from (view[start : start + _CHUNK_BYTES] for start in range(0, len(view), _CHUNK_BYTES))
    if read_at and size:
        yield from (read_at(start, _CHUNK_BYTES) for start in range(len(view), size, _CHUNK_BYTES))


def _inflated_chunks(deflated: Iterator[Buffer]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)  # PS3.5 A.5: no zlib header
    try:
        for piece in deflated:
            left: Buffer = piece
            while chunk := inflater.decompress(left, _CHUNK_BYTES):
                yield chunk
                left = inflater.unconsumed_tail
    except zlib.error as exc:
        raise UnparseableDataset("the data set isn't deflated; send it again from its source") from exc
    if not inflater.eof:
        raise UnparseableDataset("the deflated data set ends too early; send it again from its source")


# The values are read here and not through pydicom's Dataset, whose warnings about bad values print them.
def _value(data: DataSetBytes, element: Element | None, entry: "_Entry", order: str) -> Any:
    """The JSON value of an element: a list where it may have several values; None where there is none or it isn't usable."""
    if element is None or element.is_undefined_length or not 0 < element.end - element.start <= _VALUE_LIMIT:
        return None
    try:
        values = entry.read(data.value(element, _VALUE_LIMIT), order)
    except (ValueError, struct.error):
        return None
    return values if entry.may_be_many else values[0]


def _uid(data: DataSetBytes, element: Element | None) -> str:
    """Only padding goes: what else isn't of a UID makes it none, as it does for everyone who reads the file."""
    return _raw(data, element).decode("latin-1").rstrip(" \0")


def _text(data: DataSetBytes, element: Element | None) -> str:
    return _string(_raw(data, element))


def _raw(data: DataSetBytes, element: Element | None) -> bytes:
    return b"" if element is None or element.is_undefined_length else data.value(element, _VALUE_LIMIT)


def _string(raw: bytes) -> str:
    return raw.decode("latin-1").strip(" \0")


def _texts(raw: bytes, _order: str) -> list[str]:
    """Latin-1 takes any byte; NUL goes because PostgreSQL stores none."""
    return [part.replace("\0", "").strip()[:_TEXT_LIMIT] for part in _string(raw).split("\\")]


def _decimals(raw: bytes, _order: str) -> list[float]:
    values = [float(part) for part in _string(raw).split("\\")]
    if not all(map(math.isfinite, values)):
        raise ValueError("JSON has no infinity")
    return values


def _integers(raw: bytes, _order: str) -> list[int]:
    values = [int(part) for part in _string(raw).split("\\")]
    if not all(value in _INTEGERS for value in values):
        raise ValueError("more than an IS holds")
    return values


def _shorts(raw: bytes, order: str) -> list[int]:
    return list(struct.unpack(f"{order}{len(raw) // 2}H", raw))


class _Entry(NamedTuple):
    """What of an element goes into the index."""

    keyword: str
    tag: int
    read: Callable[[bytes, str], Sequence[Any]]
    may_be_many: bool


_READERS: Mapping[str, Callable[[bytes, str], Sequence[Any]]] = {"DS": _decimals, "IS": _integers, "US": _shorts}


def _entry(keyword: str) -> _Entry:
    return _Entry(keyword, _tag(keyword), _READERS.get(dictionary_VR(keyword), _texts), dictionary_VM(keyword) != "1")


_INDEX = tuple(map(_entry, HEADER_KEYWORDS))
_WANTED = frozenset({*_IDENTITY, _CONTRIBUTING_EQUIPMENT_SEQUENCE, *(entry.tag for entry in _INDEX)})


def _names_processing(data: DataSetBytes, contributing_equipment: Element | None) -> bool:
    """Whether a contributing equipment's purpose is (109102, DCM, "Processing Equipment")."""
    return any(
        _code(data, purpose) == _PROCESSING_EQUIPMENT
        for equipment in _items(data, contributing_equipment)
        for purposes in elements_of_item(data, equipment, _PURPOSE)
        for purpose in _items(data, purposes)
    )


def _items(data: DataSetBytes, sequence: Element | None) -> Iterator[Element]:
    if sequence is not None and sequence.vr in _SEQUENCE_VRS:
        yield from items(data, sequence)


def _code(data: DataSetBytes, item: Element) -> tuple[str, str]:
    found = {element.tag: element for element in elements_of_item(data, item, _CODE)}
    return _text(data, found.get(_CODE_VALUE)), _text(data, found.get(_CODING_SCHEME_DESIGNATOR))
