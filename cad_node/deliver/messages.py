"""The bytes of what a Storage SCU says and hears: association requests, C-ECHO and C-STORE commands, PDVs."""

import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from cad_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

COMMAND, LAST = 0x01, 0x02  # message control header, PS3.8 E.2
MESSAGE_ID_ANSWERED, STATUS = 0x0120, 0x0900  # elements of group 0000, PS3.7 E.1

_APPLICATION_CONTEXT = UID("1.2.840.10008.3.1.1.1")  # PS3.7 A.2.1
_LARGEST_RECEIVED = 16_384  # bytes of a PDU that we take: responses are small
_REJECTED_FOR_GOOD = 1  # PS3.8 9.3.4


class Context(NamedTuple):
    """What is proposed: one transfer syntax for one SOP class, so that nothing needs converting."""

    sop_class_uid: str
    transfer_syntax_uid: str


class Acceptance(NamedTuple):
    context_ids: frozenset[int]
    largest_pdu_bytes: int  # 0: no limit


class Rejection(NamedTuple):
    for_good: bool
    reason: str


def associate_request(called_ae_title: str, calling_ae_title: str, proposed: Mapping[int, Context]) -> bytes:
    """A-ASSOCIATE-RQ. proposed: by presentation context ID."""
    request = A_ASSOCIATE()
    request.application_context_name = _APPLICATION_CONTEXT
    request.calling_ae_title, request.called_ae_title = calling_ae_title, called_ae_title
    definitions = []
    for context_id, context in proposed.items():
        definition = build_context(context.sop_class_uid, context.transfer_syntax_uid)
        definition.context_id = context_id
        definitions.append(definition)
    request.presentation_context_definition_list = definitions
    length, implementation, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    length.maximum_length_received = _LARGEST_RECEIVED
    implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    request.user_information = [length, implementation, version]
    return A_ASSOCIATE_RQ(request).encode()


def read_acceptance(pdu: bytes) -> Acceptance:
    """A-ASSOCIATE-AC. Raises ValueError if it can't be read."""
    decoded = A_ASSOCIATE_AC()
    try:
        decoded.decode(pdu)
        answer = decoded.to_primitive()
    except Exception as exc:  # foreign bytes: pynetdicom's decoder raises whatever they trip over
        raise ValueError("not an A-ASSOCIATE-AC") from exc
    results = answer.presentation_context_definition_results_list
    if not results:
        raise ValueError("an A-ASSOCIATE-AC without presentation contexts")
    accepted = frozenset(result.context_id for result in results if result.context_id is not None and result.result == 0)
    return Acceptance(accepted, answer.maximum_length_received or 0)


def read_rejection(pdu: bytes) -> Rejection:
    """A-ASSOCIATE-RJ. Raises ValueError if it can't be read."""
    decoded = A_ASSOCIATE_RJ()
    try:
        decoded.decode(pdu)
        answer = decoded.to_primitive()
        return Rejection(answer.result == _REJECTED_FOR_GOOD, decoded.reason_str.lower())
    except Exception as exc:  # foreign bytes, as above
        raise ValueError("not an A-ASSOCIATE-RJ") from exc


def c_echo_request(sop_class_uid: str, message_id: int) -> bytes:
    """The command set of a C-ECHO-RQ, PS3.7 9.3.5.1."""
    return _command(
        (0x0002, _uid(sop_class_uid)),
        (0x0100, struct.pack("<H", 0x0030)),  # C-ECHO-RQ
        (0x0110, struct.pack("<H", message_id)),
        (0x0800, struct.pack("<H", 0x0101)),  # no dataset follows
    )


def c_store_request(sop_class_uid: str, sop_instance_uid: str, message_id: int) -> bytes:
    """The command set of a C-STORE-RQ, PS3.7 9.3.1.1."""
    return _command(
        (0x0002, _uid(sop_class_uid)),
        (0x0100, struct.pack("<H", 0x0001)),  # C-STORE-RQ
        (0x0110, struct.pack("<H", message_id)),
        (0x0700, struct.pack("<H", 0x0000)),  # medium priority
        (0x0800, struct.pack("<H", 0x0000)),  # a dataset follows
        (0x1000, _uid(sop_instance_uid)),
    )


def command_elements(command: bytes) -> dict[int, bytes]:
    """Element number -> value of a command set. Raises ValueError if it is cut off."""
    elements, offset = {}, 0
    while offset < len(command):
        if len(command) < offset + 8:
            raise ValueError("a command set ends within an element")
        _, element, length = struct.unpack_from("<HHL", command, offset)
        elements[element] = command[offset + 8 : offset + 8 + length]
        offset += 8 + length
    return elements


def command_fragments(pdu: bytes) -> Iterator[tuple[bool, bytes]]:
    """(is last, fragment) of each PDV of a P-DATA-TF PDU that belongs to a command. Raises ValueError if it is cut off."""
    offset = 6
    while offset < len(pdu):
        if len(pdu) < offset + 6:
            raise ValueError("a P-DATA-TF PDU ends within a header")
        length, _, control = struct.unpack_from(">LBB", pdu, offset)
        if control & COMMAND:
            yield bool(control & LAST), pdu[offset + 6 : offset + 4 + length]
        offset += 4 + max(length, 2)


def dataset_fragments(dataset: BinaryIO, fragment_bytes: int) -> Iterator[tuple[bool, bytes]]:
    """(is last, fragment) of what is left to read in `dataset`."""
    fragment = dataset.read(fragment_bytes)
    while True:
        ahead = dataset.read(fragment_bytes)
        yield not ahead, fragment
        if not ahead:
            return
        fragment = ahead


def _command(*elements: tuple[int, bytes]) -> bytes:
    """A command set in Implicit VR Little Endian with its group length, PS3.7 6.3.1."""
    command = b"".join(struct.pack("<HHL", 0x0000, element, len(value)) + value for element, value in elements)
    return struct.pack("<HHLL", 0x0000, 0x0000, 4, len(command)) + command


def _uid(value: str) -> bytes:
    return value.encode("ascii") + b"\0" * (len(value) % 2)
