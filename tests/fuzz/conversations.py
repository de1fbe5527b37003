"""What a peer may say to a listener: whole conversations of PDUs, in order and out of it, PS3.8 9.3."""

import random
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.sop_class import (
    ModalityPerformedProcedureStep,
    PatientRootQueryRetrieveInformationModelFind,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from cad_node.deliver.messages import COMMAND, LAST, Context, associate_request, c_echo_request, c_store_request
from tests.fuzz.mutation import Mutator
from tests.fuzz.targets import PDU_TOKENS, original_dataset
from tests.receive.front_door import encoded

DATA, RELEASE_REQUEST, RELEASE_RESPONSE, ABORT = 4, 5, 6, 7  # PDU types
ECHO_CONTEXT, STORE_CONTEXT = 1, 3
STUDY, SERIES = "1.2", "1.2.3"


class Conversation(NamedTuple):
    sop_instance_uid: str  # of the instance that is sent in it, if nothing goes wrong
    stream: bytes


def conversations(seed: int) -> Iterator[Conversation]:
    """An endless supply, the same for the same seed, half of them with PDUs in disorder, half with bytes that lie."""
    source = random.Random(seed)
    ways: list[Callable[[random.Random, list[bytes]], None]] = [_drop, _repeat, _swap, _insert, _insert, _insert, _cut]
    number = 0
    while True:
        number += 1
        uid = f"1.2.3.{seed}.{number}"
        pdus = good_conversation(uid, source.choice((64, 700, 4096))) if source.random() < 0.6 else _asking(source)
        if source.random() < 0.5:
            for _ in range(source.choice((1, 1, 2, 4))):
                source.choice(ways)(source, pdus)
            yield Conversation(uid, b"".join(pdus))
        else:
            first = 0 if source.random() < 0.3 else 1  # the association request stays whole, or nothing behind it is heard
            yield Conversation(uid, b"".join(pdus[:first]) + Mutator(source.getrandbits(32), [b"".join(pdus[first:])], PDU_TOKENS).next())


def good_conversation(sop_instance_uid: str, fragment_bytes: int) -> list[bytes]:
    """C-ECHO, C-STORE, release, none of them waiting for an answer."""
    contexts = {
        ECHO_CONTEXT: Context(Verification, ImplicitVRLittleEndian),
        STORE_CONTEXT: Context(CTImageStorage, ExplicitVRLittleEndian),
        5: Context(CTImageStorage, ImplicitVRLittleEndian),
    }
    return [
        associate_request("CAD_NODE", "FUZZ", contexts),
        data_pdu(ECHO_CONTEXT, COMMAND | LAST, c_echo_request(Verification, 1)),
        *store_pdus(sop_instance_uid, fragment_bytes),
        plain_pdu(RELEASE_REQUEST),
    ]


def store_pdus(sop_instance_uid: str, fragment_bytes: int) -> list[bytes]:
    ds = original_dataset()
    ds.SOPInstanceUID = sop_instance_uid
    dataset = encoded(ds)
    starts = range(0, len(dataset), fragment_bytes)
    fragments = [dataset[start : start + fragment_bytes] for start in starts]
    return [
        data_pdu(STORE_CONTEXT, COMMAND | LAST, c_store_request(CTImageStorage, sop_instance_uid, 2)),
        *(data_pdu(STORE_CONTEXT, 0, fragment) for fragment in fragments[:-1]),
        data_pdu(STORE_CONTEXT, LAST, fragments[-1]),
    ]


def data_pdu(context_id: int, control: int, fragment: bytes, *, value_lie: int = 0, pdu_lie: int = 0) -> bytes:
    """A P-DATA-TF PDU of one value, whose lengths are off by the lies."""
    length = len(fragment) + 2
    header = struct.pack(">BxL", DATA, (length + 4 + pdu_lie) & 0xFFFFFFFF)
    return header + struct.pack(">LBB", (length + value_lie) & 0xFFFFFFFF, context_id, control) + fragment


def plain_pdu(kind: int, content: bytes = bytes(4)) -> bytes:
    return struct.pack(">BxL", kind, len(content)) + content


def _asking(source: random.Random) -> list[bytes]:
    """One of the other requests that the node answers, with its data set, and release."""
    sop_class_uid, field, keys = source.choice(_REQUESTS)
    ds = Dataset()
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    uid = StorageCommitmentPushModelInstance if field == _N_ACTION else f"1.2.9.{source.randrange(50)}"  # known or new
    return [
        associate_request("CAD_NODE", "FUZZ", {1: Context(sop_class_uid, ImplicitVRLittleEndian)}),
        data_pdu(1, COMMAND | LAST, _command(sop_class_uid, field, uid)),
        data_pdu(1, LAST, encoded(ds, is_implicit_vr=True)),
        plain_pdu(RELEASE_REQUEST),
    ]


def _command(sop_class_uid: str, field: int, sop_instance_uid: str) -> bytes:
    class_uid, instance_uid = (uid.encode() + b"\0" * (len(uid) % 2) for uid in (sop_class_uid, sop_instance_uid))
    elements = [(0x0100, struct.pack("<H", field)), (0x0110, b"\1\0"), (0x0600, b"ANYONE"), (0x0700, b"\0\0"), (0x0800, b"\0\0")]
    of_class, of_instance = (0x0003, 0x1001) if field in {_N_SET, _N_ACTION} else (0x0002, 0x1000)
    action = [(0x1008, b"\1\0")] if field == _N_ACTION else []
    command = b"".join(
        struct.pack("<HHL", 0, element, len(value)) + value
        for element, value in sorted([(of_class, class_uid), *elements, (of_instance, instance_uid), *action])
    )
    return struct.pack("<HHLL", 0, 0, 4, len(command)) + command


def _referenced() -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, "1.2.3.4"
    return item


def _performed(**values: object) -> dict[str, object]:
    item = Dataset()
    item.StudyInstanceUID, item.ReferencedStudySequence, item.ScheduledProcedureStepID = STUDY, Items([_referenced()]), "1"
    return {"ScheduledStepAttributesSequence": Items([item]), "PerformedProcedureStepID": "1", "Modality": "CT", **values}


def _performed_series() -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = SERIES, Items([_referenced()])
    return series


_N_SET, _N_ACTION = 0x0120, 0x0130
_STUDY_KEYS = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY, "PatientName": "A*", "StudyDate": "20260101-20261231"}
_IMAGE_KEYS = {"QueryRetrieveLevel": "IMAGE", "StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES, "SOPInstanceUID": ["1.2", "1.3"]}
_REQUESTS = (
    (StudyRootQueryRetrieveInformationModelFind, 0x0020, _STUDY_KEYS),
    (StudyRootQueryRetrieveInformationModelFind, 0x0020, _IMAGE_KEYS),
    (PatientRootQueryRetrieveInformationModelFind, 0x0020, {"QueryRetrieveLevel": "PATIENT", "PatientID": "?"}),
    (StudyRootQueryRetrieveInformationModelGet, 0x0010, _STUDY_KEYS),
    (StudyRootQueryRetrieveInformationModelMove, 0x0021, _IMAGE_KEYS),
    (StorageCommitmentPushModel, _N_ACTION, {"TransactionUID": "1.2.3", "ReferencedSOPSequence": Items([_referenced()])}),
    (ModalityPerformedProcedureStep, 0x0140, _performed(PerformedProcedureStepStatus="IN PROGRESS")),
    (
        ModalityPerformedProcedureStep,
        _N_SET,
        {"PerformedProcedureStepStatus": "COMPLETED", "PerformedSeriesSequence": Items([_performed_series()])},
    ),
)


def _drop(source: random.Random, pdus: list[bytes]) -> None:
    if pdus:
        del pdus[source.randrange(len(pdus))]


def _repeat(source: random.Random, pdus: list[bytes]) -> None:
    if pdus:
        place = source.randrange(len(pdus))
        pdus[place:place] = [pdus[place]] * source.choice((1, 2, 10))


def _swap(source: random.Random, pdus: list[bytes]) -> None:
    if pdus:
        one, other = source.randrange(len(pdus)), source.randrange(len(pdus))
        pdus[one], pdus[other] = pdus[other], pdus[one]


def _cut(source: random.Random, pdus: list[bytes]) -> None:
    if pdus:
        place = source.randrange(len(pdus))
        pdus[place] = pdus[place][: source.randrange(len(pdus[place]) + 1)]


def _insert(source: random.Random, pdus: list[bytes]) -> None:
    pdus.insert(source.randrange(len(pdus) + 1), source.choice(_ODD_PDUS)(source))


def _odd_data(source: random.Random) -> bytes:
    fragment = source.choice((b"", bytes(2), bytes(200), c_echo_request(Verification, 9), c_store_request("1.2", "../../x", 9)))
    lies = (0, 0, 0, 1, -1, -2, -3, 1 << 20, 0x7FFFFFFF, -len(fragment))
    context_id, control = source.choice((0, 1, 2, 3, 5, 7, 255)), source.choice((0, 1, 2, 3, 4, 0xFF))
    return data_pdu(context_id, control, fragment, value_lie=source.choice(lies), pdu_lie=source.choice(lies))


def _odd_command(source: random.Random) -> bytes:
    """A command set of any field, with some of its elements; its group length may lie, a data set may be said to follow."""
    elements = [
        (0x0002, source.choice((b"1.2.840.10008.1.1\0", CTImageStorage.encode() + b"\0", b"\xff\xfe", b""))),
        (
            0x0100,
            struct.pack(
                "<H", source.choice((0x0001, 0x0010, 0x0020, 0x0021, 0x0030, 0x0100, 0x0130, 0x0140, 0x0150, 0x0FFF, 0x8001, 0x8030, 7))
            ),
        ),
        (0x0110, source.choice((b"\x01\0", b"", b"\1", bytes(9)))),
        (0x0120, b"\x01\0"),
        (0x0600, b"ANYONE"),
        (0x0700, struct.pack("<H", source.choice((0, 2, 0xFFFF)))),
        (0x0800, struct.pack("<H", source.choice((0, 1, 0x0101)))),
        (0x0900, b"\0\0"),
        (0x1000, source.choice((b"1.2.3\0", b"../../../tmp/x\0\0", b"\0" * 8, b"1" * 70, b"1.2.3\n", b""))),
        (0x1008, b"\1\0"),
    ]
    command = b"".join(struct.pack("<HHL", 0, element, len(value)) + value for element, value in elements if source.random() < 0.85)
    group_length = source.choice((len(command), len(command), 0, 0xFFFFFFFF, 7))
    command = struct.pack("<HHLL", 0, 0, 4, group_length) + command
    return data_pdu(source.choice((1, 3, 5)), source.choice((1, 3, 3, 3)), command)


def _odd_uids(source: random.Random) -> bytes:
    """A whole C-STORE under a UID that is none."""
    uid = source.choice(("../../../../tmp/cad_node_fuzz", "1/../../2", "1.2\0/../3", "9" * 65, "", "..", "/tmp/cad_node_fuzz"))
    return b"".join(store_pdus(uid, 4096))


def _odd_length(source: random.Random) -> bytes:
    return struct.pack(">BxL", source.randrange(9), source.choice((0, 1, 131_072, 131_073, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF)))


_ODD_PDUS: Sequence[Callable[[random.Random], bytes]] = (
    _odd_data,
    _odd_data,
    _odd_command,
    _odd_command,
    _odd_uids,
    _odd_length,
    lambda source: plain_pdu(source.choice((RELEASE_REQUEST, RELEASE_RESPONSE, ABORT, 0, 8, 255)), bytes(source.choice((0, 3, 4, 5)))),
    lambda _: good_conversation("1.2.3.9", 64)[0],
    lambda _: data_pdu(ECHO_CONTEXT, COMMAND | LAST, c_echo_request(Verification, 3)),
)
