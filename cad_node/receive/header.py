"""The few header elements that the index needs, read from a data set's bytes; nothing of the patient among them."""

import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag
from pydicom.uid import UID

from cad_node.receive.pixel_data import UNDEFINED_LENGTH, check_whole
from cad_node.receive.statuses import UnparseableDataset
from cad_node.study import HEADER_KEYWORDS

Elements = Mapping[int, RawDataElement | DataElement]


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


def read_header(dataset: bytes, transfer_syntax_uid: str) -> Header:
    """Read the header from the bytes of a data set as they came over the network, without decoding its pixels.

    Raises UnparseableDataset, also where the bytes end before the data set does.
    """
    syntax = UID(transfer_syntax_uid)
    try:
        known, size = _inflated(dataset) if syntax.is_deflated else (dataset, len(dataset))
        stream = BytesIO(known)
        elements = _elements(stream, size, syntax.is_implicit_VR, syntax.is_little_endian)
        check_whole(known, stream.tell(), size, syntax.is_implicit_VR, syntax.is_little_endian)
        return Header(
            study_instance_uid=_text(elements, "StudyInstanceUID"),
            series_instance_uid=_text(elements, "SeriesInstanceUID"),
            sop_class_uid=_text(elements, "SOPClassUID"),
            sop_instance_uid=_text(elements, "SOPInstanceUID"),
            modality=(_value(elements, "Modality") or "")[:_CODE_LIMIT],
            names_processing=_names_processing(elements),
            index={keyword: value for keyword in HEADER_KEYWORDS if (value := _value(elements, keyword)) is not None},
        )
    except UnparseableDataset:
        raise
    except Exception as exc:  # on broken bytes pydicom raises anything: struct.error, KeyError, RecursionError, …
        raise UnparseableDataset(f"not a data set in {syntax.name}: {type(exc).__name__}; send it again from its source") from exc


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag


_IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID", "Modality")
_WANTED: list[BaseTag | int] = [_tag(keyword) for keyword in (*_IDENTITY, "ContributingEquipmentSequence", *HEADER_KEYWORDS)]
_HEADER_LIMIT = 16 << 20  # bytes: room for any header, and an end to a deflated data set made to fill the memory
_INFLATED_LIMIT = 4 << 30  # bytes: more than one value can hold, and an end to a deflated data set made to take for ever
_CHUNK_BYTES = 1 << 20
_CODE_LIMIT = 16  # characters of a CS, PS3.5 6.2
_TEXT_LIMIT = 64  # characters: the longest of the value representations in the index, PS3.5 6.2
_PIXEL_DATA_GROUP = 0x7FE0


def _inflated(dataset: bytes) -> tuple[bytes, int]:
    """The first bytes of a deflated data set, no more than a header needs, and how many it has in all."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)  # PS3.5 A.5: no zlib header
    known = inflater.decompress(dataset, _HEADER_LIMIT)
    size = len(known)
    while not inflater.eof and size <= _INFLATED_LIMIT:
        chunk = inflater.decompress(inflater.unconsumed_tail, _CHUNK_BYTES)
        size += len(chunk)
        if not chunk and not inflater.eof:
            raise UnparseableDataset("the deflated data set ends too early; send it again from its source")
    if size > _INFLATED_LIMIT:
        raise UnparseableDataset(f"the deflated data set is of more than {_INFLATED_LIMIT} bytes; send it in another transfer syntax")
    return known, size


def _elements(stream: BytesIO, size: int, is_implicit_vr: bool, is_little_endian: bool) -> Elements:
    """The wanted elements of the top level, by tag."""
    elements = {
        int(element.tag): element
        for element in data_element_generator(
            stream, is_implicit_vr, is_little_endian, stop_when=_at_pixel_data(stream, size), specific_tags=_WANTED
        )
    }
    if not elements:
        raise UnparseableDataset("none of the elements that identify an instance; send it again from its source")
    return elements


def _at_pixel_data(stream: BytesIO, size: int) -> Callable[[BaseTag, str | None, int], bool]:
    def stop(tag: BaseTag, _vr: str | None, length: int) -> bool:
        if length != UNDEFINED_LENGTH and stream.tell() + length > size:
            raise UnparseableDataset(f"element {tag} runs beyond the end of the data set; send it again from its source")
        return tag.group >= _PIXEL_DATA_GROUP

    return stop


# The values are read here and not through pydicom's Dataset, whose warnings about bad values print them.
def _value(elements: Elements, keyword: str) -> Any:
    """The JSON value of an element: a list where it may have several values; None where there is none or it isn't usable."""
    raw = _raw(elements, keyword)
    if not raw:
        return None
    try:
        values = _READERS.get(dictionary_VR(keyword), _texts)(raw, elements[_tag(keyword)])
    except (ValueError, struct.error):
        return None
    return values if dictionary_VM(keyword) != "1" else values[0]


def _text(elements: Elements, keyword: str) -> str:
    return _string(_raw(elements, keyword))


def _raw(elements: Elements, keyword: str) -> bytes:
    value = getattr(elements.get(_tag(keyword)), "value", None)
    return value if isinstance(value, bytes) else b""


def _string(raw: bytes) -> str:
    return raw.decode("latin-1").strip(" \0")


def _texts(raw: bytes, _element: object) -> list[str]:
    """Latin-1 takes any byte; NUL goes because PostgreSQL stores none."""
    return [part.replace("\0", "").strip()[:_TEXT_LIMIT] for part in _string(raw).split("\\")]


def _decimals(raw: bytes, _element: object) -> list[float]:
    values = [float(part) for part in _string(raw).split("\\")]
    if not all(map(math.isfinite, values)):
        raise ValueError("JSON has no infinity")
    return values


def _integers(raw: bytes, _element: object) -> list[int]:
    return [int(part) for part in _string(raw).split("\\")]


def _shorts(raw: bytes, element: Any) -> list[int]:
    return list(struct.unpack(f"{'<' if element.is_little_endian else '>'}{len(raw) // 2}H", raw))


_READERS: Mapping[str, Callable[[bytes, Any], Sequence[Any]]] = {"DS": _decimals, "IS": _integers, "US": _shorts}


def _names_processing(elements: Elements) -> bool:
    """Whether a contributing equipment's purpose is (109102, DCM, "Processing Equipment"), PS3.16 CID 7005."""
    return any(
        _code(purpose) == ("109102", "DCM")
        for equipment in _items(elements.get(_tag("ContributingEquipmentSequence")))
        for purpose in _items(equipment.get_item("PurposeOfReferenceCodeSequence"))
    )


def _items(element: RawDataElement | DataElement | None) -> Sequence[Dataset]:
    if element is None or not element.value:
        return ()
    sequence = convert_raw_data_element(element) if isinstance(element, RawDataElement) else element
    return sequence.value if sequence.VR == "SQ" else ()


def _code(item: Dataset) -> tuple[str, str]:
    elements = {int(tag): item.get_item(tag) for tag in item.keys()}  # noqa: SIM118 - iterating a Dataset converts its values
    return _text(elements, "CodeValue"), _text(elements, "CodingSchemeDesignator")
