"""The head of a DICOM file, written by hand so that the data set behind it stays bit for bit what was received."""

import struct

from cad_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from cad_node.store.arriving import BLOCK_BYTES
from cad_node.store.digest import PREAMBLE_BYTES

_CLASS_UID = IMPLEMENTATION_CLASS_UID.encode("ascii")
_UP_TO_META_BYTES = 16  # the prefix, and the element that says how long what follows is


def file_head(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str, data_set_bytes: int | None = None
) -> bytes:
    """Prefix and File Meta Information, PS3.10 7.1, which follow the preamble; the data set follows in `transfer_syntax_uid`.

    source_ae_title: the calling AE title; left out if empty.
    data_set_bytes: if given, the head is as long as it takes for the file to be a number of blocks. An even number.
    """
    elements = [
        _element(0x0001, b"OB", b"\x00\x01"),
        _element(0x0002, b"UI", sop_class_uid.encode("ascii")),
        _element(0x0003, b"UI", sop_instance_uid.encode("ascii")),
        _element(0x0010, b"UI", transfer_syntax_uid.encode("ascii")),
        _element(0x0012, b"UI", _CLASS_UID),
        _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
    ]
    if source_ae_title:
        elements.append(_element(0x0016, b"AE", source_ae_title.encode("ascii", "replace")))
    meta = b"".join(elements)
    if data_set_bytes is not None:
        meta += _padding(-(PREAMBLE_BYTES + _UP_TO_META_BYTES + len(meta) + data_set_bytes) % BLOCK_BYTES)
    return b"DICM" + _element(0x0000, b"UL", struct.pack("<I", len(meta))) + meta


def _padding(size: int) -> bytes:
    """So many bytes, or a block more, of Private Information, which is anybody's who names himself its creator, PS3.10 Table 7.1-1."""
    if size == 0:
        return b""
    creator = _element(0x0100, b"UI", _CLASS_UID)
    content = size - len(creator) - len(_element(0x0102, b"OB", b""))
    return creator + _element(0x0102, b"OB", bytes(content if content >= 0 else content + BLOCK_BYTES))


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    """One element of group 0002 in Explicit VR Little Endian, padded to even length, PS3.5 7.1.2 and 6.2."""
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    length = struct.pack("<HI", 0, len(value)) if vr == b"OB" else struct.pack("<H", len(value))
    return struct.pack("<HH", 0x0002, element) + vr + length + value
