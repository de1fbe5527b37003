"""Whether a data set's Pixel Data, and what follows it, is there to its end: headers are walked, no pixel is read."""

import struct

from cad_node.receive.statuses import UnparseableDataset

UNDEFINED_LENGTH = 0xFFFFFFFF
_DELIMITATION_GROUP = 0xFFFE  # items and delimiters, PS3.5 7.5: a tag and a length, no VR
_HEADER_BYTES = 8
_LONG_HEADER_BYTES = 12
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})  # PS3.5 Table 7.1-1


def check_whole(known: bytes, start: int, size: int, is_implicit_vr: bool, is_little_endian: bool) -> None:
    """Raise UnparseableDataset if the data set ends inside an element, or inside an item of encapsulated Pixel Data, PS3.5 A.4.

    start: where the first element of group 7FE0 begins in `known`.
    size: bytes of the whole data set, of which `known` may be the first ones only.
    A missing Sequence Delimitation Item at the very end passes, because devices that leave it out exist.
    """
    order = "<" if is_little_endian else ">"
    place = start
    while place + _HEADER_BYTES <= len(known):
        tag, vr, header_bytes, length = _header(known, place, order, is_implicit_vr)
        if length != UNDEFINED_LENGTH:
            place += header_bytes + length
        elif vr == b"UN":
            return  # what it holds is in Implicit VR whatever the syntax, PS3.5 6.2.2
        else:
            place += header_bytes  # its items come next, and are walked like elements
        if place > size:
            raise UnparseableDataset(
                f"the data set ends inside element ({tag >> 16:04X},{tag & 0xFFFF:04X}); send it again from its source"
            )
    if place < size == len(known) and any(known[place:]):
        raise UnparseableDataset("the data set ends inside the header of an element or item; send it again from its source")


def _header(known: bytes, place: int, order: str, is_implicit_vr: bool) -> tuple[int, bytes, int, int]:
    """Tag, VR (empty where there is none), bytes of the header, bytes of the value."""
    group, element = struct.unpack_from(f"{order}HH", known, place)
    tag = group << 16 | element
    vr = known[place + 4 : place + 6]
    if is_implicit_vr or group == _DELIMITATION_GROUP or not b"AA" <= vr <= b"ZZ":  # the last as pydicom reads it
        return tag, b"", _HEADER_BYTES, struct.unpack_from(f"{order}L", known, place + 4)[0]
    if vr in _LONG_VRS:
        return tag, vr, _LONG_HEADER_BYTES, struct.unpack_from(f"{order}L", known, place + 8)[0]
    return tag, vr, _HEADER_BYTES, struct.unpack_from(f"{order}H", known, place + 6)[0]
