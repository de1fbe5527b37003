"""What foreign bytes reach inside one process: each target takes any bytes, and fails where the product does what it must not."""

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath

from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from pynetdicom.sop_class import Verification

from cad_node.deliver.messages import (
    COMMAND,
    LAST,
    MESSAGE_ID_ANSWERED,
    STATUS,
    Message,
    c_echo_request,
    c_store_request,
    command_elements,
    fragments,
    read_acceptance,
    read_rejection,
)
from cad_node.deliver.statuses import outcome_of
from cad_node.receive.c_store import read_request, response
from cad_node.receive.header import Header, read_header
from cad_node.receive.part10 import file_head
from cad_node.receive.statuses import STORE_STATUSES, UnparseableDataset
from cad_node.store.arriving import BLOCK_BYTES
from cad_node.store.digest import PREAMBLE_BYTES
from cad_node.store.spool import InvalidUid, check_uid
from tests.factory import altered, ct_study
from tests.fuzz.datasets import SYNTAXES, encoded_as
from tests.fuzz.reference import pydicom_header


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    check: Callable[[bytes], bool]  # True: taken; False: refused as it should be; an exception is a defect
    originals: Sequence[bytes]
    tokens: Sequence[bytes]


def targets() -> list[Target]:
    selected = [bytes([number]) + dataset for number, dataset in enumerate(map(_original, SYNTAXES))]
    return [
        Target("datasets", _check_dataset, selected, DATASET_TOKENS),
        Target("same_as_pydicom", _check_against_pydicom, selected, DATASET_TOKENS),
        Target("uids", _check_uids, _UIDS, (b".", b"..", b"/", b"../", b"\\0", b"\n", b"0", b"\xc3\xb2", b"\xd9\xa1")),
        Target("association_answers", _check_association_answer, answers(), PDU_TOKENS),
        Target("answers", _check_answer, command_pdus(), PDU_TOKENS),
        Target("requests", _check_request, [pdu[12:] for pdu in command_pdus()], PDU_TOKENS),
    ]


def original_dataset() -> Dataset:
    """Small, and with something of every structure."""
    purpose, equipment, series = Dataset(), Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109102", "DCM"
    equipment.Manufacturer, equipment.PurposeOfReferenceCodeSequence = "Another", Items([purpose])
    equipment["PurposeOfReferenceCodeSequence"].is_undefined_length = True
    series.SeriesInstanceUID, series.ReferencedSOPSequence = "1.2.3", Items([Dataset(), Dataset()])
    series["ReferencedSOPSequence"].is_undefined_length = True
    ds = altered(ct_study(slices=1)[0], PixelData=None, NumberOfFrames="1", ReferencedSeriesSequence=Items([series, Dataset()]))
    ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.FrameOfReferenceUID = "1.2.3.4", "1.2.3", "1.2", "1.2.5"  # no chance
    ds.ContributingEquipmentSequence = Items([equipment])
    for keyword in ("ReferencedSeriesSequence", "ContributingEquipmentSequence"):
        ds[keyword].is_undefined_length = True
    ds.private_block(0x0019, "CAD_NODE TESTS", create=True).add_new(0x10, "UN", bytes(8))
    return ds


DATASET_TOKENS = (
    *(vr.encode() + b"\0\0" for vr in ("OB", "OW", "SQ", "UN", "UT", "UC", "OD", "SV")),
    *(vr.encode() for vr in ("CS", "DS", "IS", "US", "UI", "LO", "ZZ", "A\x00", "??", "aa")),
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",  # item and delimiters, of each byte order
    b"\xfe\xff\x00\xe0\0\0\0\0",
    b"\xfe\xff\x0d\xe0\0\0\0\0",
    b"\xfe\xff\xdd\xe0\0\0\0\0",
    b"\xff\xfe\xe0\x00\xff\xff\xff\xff",
    b"\xff\xfe\xe0\x0d\0\0\0\0",
    b"\xff\xfe\xe0\xdd\0\0\0\0",
    b"\x08\x00\x18\x00UI\x04\x001.2\0",  # SOP Instance UID, of each encoding
    b"\x08\x00\x18\x00\x04\0\0\x001.2\0",
    b"\x00\x08\x00\x18UI\x00\x041.2\0",
    b"\x18\x00\x01\xa0SQ\0\0\xff\xff\xff\xff",  # Contributing Equipment Sequence
    b"\x18\x00\x01\xa0\xff\xff\xff\xff",
    b"\x40\x00\x60\x02SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff",
    b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192",
    b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff",
    b"\xfc\xff\xfc\xffOB\0\0\x08\0\0\0",
    b"nan",
    b"1e999",
    b"\\" * 40,
    b"9" * 40,
)
PDU_TOKENS = (
    *(bytes([kind, 0]) for kind in range(8)),
    *(bytes([item, 0, 0, 4]) for item in (0x10, 0x20, 0x21, 0x30, 0x40, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x58)),
    *(bytes([1, control]) for control in range(4)),
    *(struct.pack("<HHL", 0, element, 2) for element in (0x0000, 0x0002, 0x0100, 0x0120, 0x0800, 0x0900, 0x0902, 0x1000)),
    *(struct.pack("<H", field) for field in (0x0001, 0x8001, 0x0020, 0x0021, 0x0010, 0x0FFF, 0x0100, 0x0110, 0x0130, 0x0140, 0x0101)),
)
_UIDS = (
    b"1.2.3\0" + b"1.2.840.10008.1\0" + b"2.25.329800735698586629295641978511506172918",
    b"../../etc\0..\0/tmp/x",
    b"1" * 64 + b"\x001\x001",
)
_DEFLATE = 0x80  # bit of the selector: the bytes are a data set that is to be deflated, else its deflated form
_KNOWN_STEP = 97


def _original(syntax: str) -> bytes:
    return encoded_as(original_dataset(), syntax if syntax != DeflatedExplicitVRLittleEndian else ExplicitVRLittleEndian)


def _syntax_and_dataset(selected: bytes) -> tuple[str, bytes]:
    selector, dataset = selected[0] if selected else 0, selected[1:]
    syntax = SYNTAXES[selector % len(SYNTAXES)]
    if syntax == DeflatedExplicitVRLittleEndian and not selector & _DEFLATE:
        deflater = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
        return syntax, deflater.compress(dataset) + deflater.flush()
    return syntax, dataset


def _check_dataset(selected: bytes) -> bool:
    """Refused with the one error there is for it, or usable by a database; the same with most of it on disk."""
    syntax, dataset = _syntax_and_dataset(selected)
    known = len(dataset) * _KNOWN_STEP % 211 * len(dataset) // 211
    header = _header(dataset, syntax)
    streamed = _header(memoryview(dataset)[:known], syntax, len(dataset), lambda offset, count: dataset[offset : offset + count])
    assert streamed == header
    if header is None:
        return False
    text = json.dumps([header.modality, dict(header.index)], allow_nan=False)
    assert "\\u0000" not in text
    assert len(text) < 20_000
    return True


def _header(beginning: bytes | memoryview, syntax: str, *rest: object) -> Header | None:
    with suppress(UnparseableDataset):
        return read_header(beginning, syntax, *rest)
    return None


def _check_against_pydicom(selected: bytes) -> bool:
    """What would be stored under its UIDs, pydicom finds those UIDs in."""
    syntax, dataset = _syntax_and_dataset(selected)
    header = _header(dataset, syntax)
    if header is None or not all(map(_is_uid, _identity(header))):
        return False
    reference = None
    with suppress(Exception):  # pydicom raises anything on broken bytes
        reference = pydicom_header(dataset, syntax)
    if reference is None or not any(_identity(reference)):  # the latter where Pixel Data has no delimiter
        return False
    agreed = (ours == theirs or theirs.startswith("[") for ours, theirs in zip(_identity(header), _identity(reference), strict=True))
    assert all(agreed), "pydicom finds other UIDs"  # a list is what it makes of bytes that come under another value representation
    return True


def _identity(header: Header) -> tuple[str, ...]:
    return header.study_instance_uid, header.series_instance_uid, header.sop_class_uid, header.sop_instance_uid


def _is_uid(text: str) -> bool:
    with suppress(InvalidUid):
        check_uid("UID", text)
        return True
    return False


def _check_uids(three: bytes) -> bool:
    """UIDs that pass name a file inside the spool, and one that can be read."""
    uids = [uid.decode("latin-1") for uid in (*three.split(b"\0"), b"", b"", b"")[:3]]
    if not all(map(_is_uid, uids)):
        return False
    study, series, instance = uids
    assert PurePosixPath("/spool/instances", study, series, f"{instance}.dcm").parts[1:] == (
        "spool",
        "instances",
        study,
        series,
        f"{instance}.dcm",
    )
    assert all(part not in {".", ".."} and part.isascii() and "\0" not in part for part in (study, series, instance))
    head = file_head(study, instance, ExplicitVRLittleEndian, three.decode("latin-1")[:16], len(three) // 2 * 2)
    assert (PREAMBLE_BYTES + len(head) + len(three) // 2 * 2) % BLOCK_BYTES == 0
    meta = dcmread(BytesIO(bytes(PREAMBLE_BYTES) + head)).file_meta
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (study, instance)
    return True


def _check_association_answer(pdu: bytes) -> bool:
    """A peer's A-ASSOCIATE-AC or -RJ can be read, or raises ValueError."""
    taken = False
    with suppress(ValueError):
        acceptance = read_acceptance(pdu)
        assert all(0 <= context_id <= 255 for context_id in acceptance.context_ids)
        assert acceptance.largest_pdu_bytes >= 0
        taken = True
    with suppress(ValueError):
        assert isinstance(read_rejection(pdu).reason, str)
        taken = True
    return taken


def _check_answer(pdu: bytes) -> bool:
    """A peer's P-DATA-TF can be read, or raises ValueError or, where an element is missing, KeyError."""
    with suppress(ValueError, KeyError):
        command = b"".join(fragment for _, control, fragment in fragments(pdu) if control & COMMAND)
        message = Message(1, command_elements(command), b"")
        assert isinstance(message.is_request, bool)
        assert message.number(MESSAGE_ID_ANSWERED) >= 0
        assert isinstance(outcome_of(message.number(STATUS)).delivered, bool)
        return True
    return False


def _check_request(command_set: bytes) -> bool:
    """A C-STORE request can be answered with every status that there is, or is left to pynetdicom."""
    request = read_request(command_set)
    if request is None:
        return False
    for status in STORE_STATUSES.values():
        answer = command_elements(b"".join(fragment for _, _, fragment in fragments(response(1, request, status))))
        assert int.from_bytes(answer[STATUS], "little") == status.code
        assert int.from_bytes(answer[MESSAGE_ID_ANSWERED], "little") == request.message_id
    return True


def answers() -> list[bytes]:
    """An A-ASSOCIATE-AC with everything in it, PS3.8 9.3.3, and an A-ASSOCIATE-RJ, 9.3.4."""
    contexts = b"".join(_item(0x21, bytes([number, 0, 0, 0]) + _item(0x40, ExplicitVRLittleEndian.encode())) for number in (1, 3))
    role = struct.pack(">H", 17) + b"1.2.840.10008.1.1" + b"\1\1"
    user = [_item(0x51, struct.pack(">L", 16_384)), _item(0x52, b"1.2.3"), _item(0x54, role), _item(0x55, b"TESTS"), _item(0x53, bytes(4))]
    content = bytes.fromhex("00010000") + b"PACS".ljust(16) + b"CAD_NODE".ljust(16) + bytes(32)
    content += _item(0x10, b"1.2.840.10008.3.1.1.1") + contexts + _item(0x50, b"".join(user))
    return [struct.pack(">BxL", 2, len(content)) + content, struct.pack(">BxLxBBB", 3, 4, 1, 1, 1)]


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def command_pdus() -> list[bytes]:
    echo, store = c_echo_request(Verification, 1), c_store_request(CTImageStorage, "1.2.3", 2)
    request = read_request(store)
    assert request is not None
    answers = [response(1, request, status) for status in STORE_STATUSES.values()]
    return [
        *(struct.pack(">BxLLBB", 4, len(command) + 6, len(command) + 2, 1, COMMAND | LAST) + command for command in (echo, store)),
        *answers,
    ]
