"""The head of a DICOM file, written by hand so that the data set behind it stays bit for bit what was received."""

import struct

from cad_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


def file_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str) -> bytes:
    """Preamble, prefix and File Meta Information, PS3.10 7.1; the data set follows in `transfer_syntax_uid`.

    source_ae_title: the calling AE title; left out if empty.
    """
    elements = [
        _element(0x0001, b"OB", b"\x00\x01"),
        _element(0x0002, b"UI", sop_class_uid.encode("ascii")),
        _element(0x0003, b"UI", sop_instance_uid.encode("ascii")),
        _element(0x0010, b"UI", transfer_syntax_uid.encode("ascii")),
        _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
        _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
    ]
    if source_ae_title:
        elements.append(_element(0x0016, b"AE", source_ae_title.encode("ascii", "replace")))
    meta = b"".join(elements)
    return bytes(128) + b"DICM" + _element(0x0000, b"UL", struct.pack("<I", len(meta))) + meta


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    """One element of group 0002 in Explicit VR Little Endian, padded to even length, PS3.5 7.1.2 and 6.2."""
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    length = struct.pack("<HI", 0, len(value)) if vr == b"OB" else struct.pack("<H", len(value))
    return struct.pack("<HH", 0x0002, element) + vr + length + value
