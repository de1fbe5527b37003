"""The bytes of what an SCU says and hears: association requests, the commands of C-ECHO, C-STORE, N-ACTION and N-EVENT-REPORT, PDVs."""

import struct
from collections.abc import Collection, Iterator, Mapping
from typing import BinaryIO, NamedTuple

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import build_context

from cad_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

COMMAND, LAST = 0x01, 0x02  # message control header, PS3.8 E.2
COMMAND_FIELD, MESSAGE_ID, MESSAGE_ID_ANSWERED = 0x0100, 0x0110, 0x0120  # elements of group 0000, PS3.7 E.1
DATA_SET_TYPE, STATUS, EVENT_TYPE_ID = 0x0800, 0x0900, 0x1002
AFFECTED_SOP_CLASS, AFFECTED_SOP_INSTANCE = 0x0002, 0x1000
N_EVENT_REPORT_RQ = 0x0100
NO_DATA_SET = 0x0101

_APPLICATION_CONTEXT = UID("1.2.840.10008.3.1.1.1")  # PS3.7 A.2.1
_LARGEST_RECEIVED = 16_384  # bytes of a PDU that we take: responses are small
_REJECTED_FOR_GOOD = 1  # PS3.8 9.3.4
_WITH_DATA_SET = 0x0000  # any value but NO_DATA_SET


class Context(NamedTuple):
    """What is proposed: one transfer syntax for one SOP class, so that nothing needs converting."""

    sop_class_uid: str
    transfer_syntax_uid: str


class Acceptance(NamedTuple):
    context_ids: frozenset[int]
    largest_pdu_bytes: int  # 0: no limit


class Message(NamedTuple):
    """What the peer says: a response, or a request of its own."""

    context_id: int
    command: Mapping[int, bytes]  # element number -> value
    dataset: bytes

    @property
    def is_request(self) -> bool:
        return not self.number(COMMAND_FIELD) & 0x8000  # PS3.7 E.1: the bit of responses

    def number(self, element: int) -> int:
        """An element's value. Raises KeyError where it is absent."""
        return int.from_bytes(self.command[element], "little")


class Rejection(NamedTuple):
    for_good: bool
    reason: str


def associate_request(called_ae_title: str, calling_ae_title: str, proposed: Mapping[int, Context], scp_of: Collection[str] = ()) -> bytes:
    """A-ASSOCIATE-RQ. proposed: by presentation context ID; scp_of: SOP classes of which we are the SCP, PS3.7 D.3.3.4."""
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
    request.user_information = [length, implementation, version, *map(_scp_role, scp_of)]
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
        (AFFECTED_SOP_CLASS, _uid(sop_class_uid)),
        (COMMAND_FIELD, _short(0x0030)),
        (MESSAGE_ID, _short(message_id)),
        (DATA_SET_TYPE, _short(NO_DATA_SET)),
    )


def c_store_request(sop_class_uid: str, sop_instance_uid: str, message_id: int) -> bytes:
    """The command set of a C-STORE-RQ, PS3.7 9.3.1.1."""
    return _command(
        (AFFECTED_SOP_CLASS, _uid(sop_class_uid)),
        (COMMAND_FIELD, _short(0x0001)),
        (MESSAGE_ID, _short(message_id)),
        (0x0700, _short(0x0000)),  # medium priority
        (DATA_SET_TYPE, _short(_WITH_DATA_SET)),
        (AFFECTED_SOP_INSTANCE, _uid(sop_instance_uid)),
    )


def n_action_request(sop_class_uid: str, sop_instance_uid: str, action_type_id: int, message_id: int) -> bytes:
    """The command set of an N-ACTION-RQ, PS3.7 10.3.4.1."""
    return _command(
        (0x0003, _uid(sop_class_uid)),
        (COMMAND_FIELD, _short(0x0130)),
        (MESSAGE_ID, _short(message_id)),
        (DATA_SET_TYPE, _short(_WITH_DATA_SET)),
        (0x1001, _uid(sop_instance_uid)),
        (0x1008, _short(action_type_id)),
    )


def n_event_report_request(sop_class_uid: str, sop_instance_uid: str, event_type_id: int, message_id: int) -> bytes:
    """The command set of an N-EVENT-REPORT-RQ, PS3.7 10.3.1.1."""
    return _command(
        (AFFECTED_SOP_CLASS, _uid(sop_class_uid)),
        (COMMAND_FIELD, _short(N_EVENT_REPORT_RQ)),
        (MESSAGE_ID, _short(message_id)),
        (DATA_SET_TYPE, _short(_WITH_DATA_SET)),
        (AFFECTED_SOP_INSTANCE, _uid(sop_instance_uid)),
        (EVENT_TYPE_ID, _short(event_type_id)),
    )


def n_event_report_response(request: Message, status: int) -> bytes:
    """The command set of an N-EVENT-REPORT-RSP, PS3.7 10.3.1.2. Raises KeyError if the request isn't whole."""
    return _command(
        (AFFECTED_SOP_CLASS, request.command[AFFECTED_SOP_CLASS]),
        (COMMAND_FIELD, _short(N_EVENT_REPORT_RQ | 0x8000)),
        (MESSAGE_ID_ANSWERED, request.command[MESSAGE_ID]),
        (DATA_SET_TYPE, _short(NO_DATA_SET)),
        (STATUS, _short(status)),
        (AFFECTED_SOP_INSTANCE, request.command[AFFECTED_SOP_INSTANCE]),
        (EVENT_TYPE_ID, request.command[EVENT_TYPE_ID]),
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


def fragments(pdu: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(presentation context ID, message control header, fragment) of each PDV of a P-DATA-TF PDU. Raises ValueError if it is cut off."""
    offset = 6
    while offset < len(pdu):
        if len(pdu) < offset + 6:
            raise ValueError("a P-DATA-TF PDU ends within a header")
        length, context_id, control = struct.unpack_from(">LBB", pdu, offset)
        yield context_id, control, pdu[offset + 6 : offset + 4 + length]
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


def _scp_role(sop_class_uid: str) -> SCP_SCU_RoleSelectionNegotiation:
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = UID(sop_class_uid), False, True
    return role


def _short(value: int) -> bytes:
    return struct.pack("<H", value)


def _uid(value: str) -> bytes:
    return value.encode("ascii") + b"\0" * (len(value) % 2)
