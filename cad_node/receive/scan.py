"""Elements found in a data set's bytes by walking its headers, all of them: nothing is built, nothing recurses, no pixel is read.

pydicom's reader makes an object of each item of a sequence of undefined length, a hundred times the bytes that made it do so,
and takes longer; the tests compare what is found here with what it finds.
"""

from collections.abc import Callable, Iterator
from struct import Struct
from typing import NamedTuple

from cad_node.receive.statuses import UnparseableDataset

Buffer = bytes | bytearray | memoryview
ReadAt = Callable[[int, int], bytes]  # offset in the data set, bytes wanted -> so many, fewer only at its end

_UNDEFINED_LENGTH = 0xFFFFFFFF
_DELIMITATION_GROUP = 0xFFFE  # items and delimiters, PS3.5 7.5: a tag and a length, no VR
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DELIMITERS, _OF_ITEMS = frozenset({_ITEM_END, _SEQUENCE_END}), frozenset({_ITEM, _ITEM_END})
_PIXEL_DATA_GROUP = 0x7FE0
_HEADER_BYTES = 8
_LONG_HEADER_BYTES = 12
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})  # PS3.5 Table 7.1-1
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_WINDOW_BYTES = 4096
_DEEPEST = 128  # values of undefined length in each other, items counted; pydicom, which recurses, is lost at about 380
_MOST_HEADERS = 8_000_000  # some seconds' walk; a whole slide image has hundreds of thousands


_BY_HEADER = 0, 0, b"", 0


class Coding(NamedTuple):
    """How elements are written."""

    has_vr: bool
    header: Struct  # group, element, VR, length of 16 bits
    length: Struct  # of 32 bits


def _coding(is_implicit_vr: bool, order: str) -> Coding:
    return Coding(not is_implicit_vr, Struct(f"{order}HH2sH"), Struct(f"{order}L"))


CODINGS = {(is_implicit, is_little): _coding(is_implicit, "><"[is_little]) for is_implicit in (False, True) for is_little in (False, True)}


class Element(NamedTuple):
    """An element or item, and where its value lies."""

    tag: int
    vr: bytes  # empty where none is written
    start: int
    end: int  # where what follows begins: a delimiter counts as part of the value
    is_undefined_length: bool
    coding: Coding  # of its header, or of the elements in an item


class DataSetBytes:
    """The bytes of a data set, of which the first are in memory; what lies beyond them is read where there is a header."""

    def __init__(self, beginning: Buffer, size: int | None = None, read_at: ReadAt | None = None) -> None:
        """size: of the whole data set. Where `beginning` is less and there is no `read_at`, the walk ends in it."""
        self.size = len(beginning) if size is None else size
        is_known = read_at or self.size == len(beginning)
        self.walked = self.size if is_known else len(beginning) - _WINDOW_BYTES  # less what a header or a wanted value takes
        self.beginning = self._window = beginning
        self._window_start = 0
        self._read_at = read_at
        self._headers_left = _MOST_HEADERS

    def value(self, element: Element, most_bytes: int) -> bytes:
        """An element's value, only its first bytes if there are more."""
        return self.read(element.start, min(element.end - element.start, most_bytes))

    def header(self, place: int, coding: Coding) -> tuple[int, bytes, int, int]:
        """Tag, VR, where the value begins, its length; what lies beyond the end reads as zeros."""
        self._headers_left -= 1
        if not self._headers_left:
            raise UnparseableDataset(f"the data set has more than {_MOST_HEADERS} elements and items; send it as several instances")
        offset = place - self._window_start
        if offset < 0 or offset + _LONG_HEADER_BYTES > len(self._window):
            self._window, self._window_start, offset = self.read(place, _WINDOW_BYTES).ljust(_LONG_HEADER_BYTES, b"\0"), place, 0
        group, number, vr, length = coding.header.unpack_from(self._window, offset)
        tag = group << 16 | number
        if coding.has_vr and group != _DELIMITATION_GROUP:
            if vr in _LONG_VRS:
                return tag, vr, place + _LONG_HEADER_BYTES, coding.length.unpack_from(self._window, offset + 8)[0]
            if b"AA" <= vr <= b"ZZ":  # as pydicom reads it; any other element is taken as in Implicit VR
                return tag, vr, place + _HEADER_BYTES, length
        return tag, b"", place + _HEADER_BYTES, coding.length.unpack_from(self._window, offset + 4)[0]

    def read(self, start: int, count: int) -> bytes:
        if self._read_at and start + count > len(self.beginning):
            return self._read_at(start, count)
        return bytes(self.beginning[start : start + count])


def elements(data: DataSetBytes, coding: Coding, wanted: frozenset[int]) -> Iterator[Element]:
    """The wanted elements of the top level. All of them are walked, to the end of the data set.

    Raises UnparseableDataset where the data set ends inside an element, or inside an item of encapsulated Pixel Data, PS3.5 A.4.
    A missing Sequence Delimitation Item at the very end passes, because devices that leave it out exist.
    """
    for element in _siblings(data, 0, data.size, coding, wanted | _OF_ITEMS):
        if element.tag in _OF_ITEMS:  # readers go different ways from here, and would find different instances
            raise UnparseableDataset("an item begins or ends outside of any sequence; send the data set again from its source")
        yield element


def items(data: DataSetBytes, sequence: Element) -> Iterator[Element]:
    """The items of a sequence."""
    for item in _siblings(data, sequence.start, sequence.end, sequence.coding, frozenset({_ITEM})):
        yield item._replace(coding=_coding_of_item(data, item.start, item.coding))


def elements_of_item(data: DataSetBytes, item: Element, wanted: frozenset[int]) -> Iterator[Element]:
    """The wanted elements of an item, not of the sequences in it."""
    return _siblings(data, item.start, item.end, item.coding, wanted)


def _siblings(data: DataSetBytes, place: int, end: int, coding: Coding, wanted: frozenset[int]) -> Iterator[Element]:
    header, beginning, in_memory = data.header, data.beginning, len(data.beginning) - _LONG_HEADER_BYTES if coding.has_vr else -1
    unpack, unpack_length = coding.header.unpack_from, coding.length.unpack_from
    while place + _HEADER_BYTES <= end and place < data.walked:
        group, number, vr, length = unpack(beginning, place) if place <= in_memory else _BY_HEADER
        if group == _DELIMITATION_GROUP:
            tag, vr, start, length = header(place, coding)
        elif vr in _SHORT_VRS:  # as `header` does it, without a call: nearly all elements are so
            tag, start = group << 16 | number, place + _HEADER_BYTES
        elif vr in _LONG_VRS:
            tag, start, length = group << 16 | number, place + _LONG_HEADER_BYTES, unpack_length(beginning, place + _HEADER_BYTES)[0]
        else:
            tag, vr, start, length = header(place, coding)
        place = start + length if length != _UNDEFINED_LENGTH else _past_items(data, tag, start, coding)
        if place > end:
            raise UnparseableDataset(f"element {_text(tag)} runs beyond the end of the data set; send it again from its source")
        if tag in wanted:
            yield Element(tag, vr, start, place, length == _UNDEFINED_LENGTH, coding)
    if place < end == data.walked and any(data.read(place, _HEADER_BYTES)):
        raise UnparseableDataset("the data set ends inside the header of an element or item; send it again from its source")


def _past_items(data: DataSetBytes, tag: int, place: int, coding: Coding) -> int:
    """Where a value of undefined length ends, its delimiter included: the items of a sequence or, if `tag` is an item's, elements."""
    may_miss_delimiter = tag >> 16 >= _PIXEL_DATA_GROUP and tag != _ITEM
    begun = [coding]  # of the values that haven't ended: sequences and items by turns
    while begun:
        if place == data.size and may_miss_delimiter and len(begun) == 1:
            return place
        if place + _HEADER_BYTES > data.walked:
            return _end_of_what_is_known(data)
        is_item = (tag == _ITEM) is (len(begun) % 2 == 1)
        inner, _, place, length = data.header(place, begun[-1])
        if inner == (_ITEM_END if is_item else _SEQUENCE_END):
            begun.pop()  # whatever its length says, as pydicom reads it
        elif inner in _DELIMITERS or (inner == _ITEM) is is_item:
            raise UnparseableDataset(f"{_text(inner)} can't be where it is, in {_text(tag)}; send the data set again from its source")
        elif length == _UNDEFINED_LENGTH:
            begun.append(begun[-1] if is_item else _coding_of_item(data, place, begun[-1]))
        else:
            place += length
        if place > data.size:
            raise UnparseableDataset(f"the data set ends inside element {_text(inner)}; send it again from its source")
        if len(begun) > _DEEPEST:
            raise UnparseableDataset(f"{_text(tag)} has sequences nested deeper than {_DEEPEST // 2}; send it without them")
    return place


def _end_of_what_is_known(data: DataSetBytes) -> int:
    if data.walked < data.size:
        return data.size
    raise UnparseableDataset("the data set ends inside the header of an element or item; send it again from its source")


def _coding_of_item(data: DataSetBytes, start: int, coding: Coding) -> Coding:
    """How an item's elements are written: in Implicit VR if the first is, as in a value of VR UN, PS3.5 6.2.2."""
    vr = data.header(start, coding)[1]
    return coding if vr.isalpha() and vr.isupper() else coding._replace(has_vr=False)


def _text(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
