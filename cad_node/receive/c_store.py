"""C-STORE as it is on the wire, PS3.7 9.3.1: the request's command set read, the response written, without pynetdicom's classes."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cad_node.receive.statuses import StoreStatus

COMMAND, LAST = 0x01, 0x02  # bits of a message control header, PS3.8 E.2
P_DATA = 4  # PDU type, PS3.8 9.3.1

_FIELD, _MESSAGE_ID, _SOP_CLASS, _SOP_INSTANCE, _DATA_SET_TYPE = 0x0100, 0x0110, 0x0002, 0x1000, 0x0800  # elements of group 0000
_MESSAGE_ID_ANSWERED, _STATUS, _ERROR_COMMENT = 0x0120, 0x0900, 0x0902
_C_STORE_RQ, _C_STORE_RSP, _NO_DATA_SET = 0x0001, 0x8001, 0x0101  # PS3.7 E.1


@dataclass(frozen=True, slots=True)
class StoreCommand:
    """A C-STORE request: what it says of the data set that follows, and where it was made."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str


class Sink(Protocol):
    """Takes one data set: room is asked for, and filled with more than the data set; whatever goes wrong is said at the end."""

    def room(self) -> memoryview:
        """Where the next bytes go, some 100 KB at least; what was asked for before isn't used any more."""
        ...

    def take(self, start: int, size: int) -> None:
        """So many bytes of the room are the data set's next, from `start` on; they stay as they are until room is asked for again."""
        ...

    def finish(self) -> StoreStatus:
        """All bytes have come: the status to answer; on success the instance is durable."""
        ...

    def abandon(self) -> None:
        """No more bytes will come: nothing stays."""
        ...


class Request(NamedTuple):
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str


def read_request(command_set: bytes) -> Request | None:
    """A C-STORE request with a data set in a command set's bytes; None: any other message, or one that isn't as it should be."""
    try:
        elements = _elements(command_set)
        (field,), (data_set_type,) = _SHORT.unpack(elements[_FIELD]), _SHORT.unpack(elements[_DATA_SET_TYPE])
        if field != _C_STORE_RQ or data_set_type == _NO_DATA_SET:
            return None
        (message_id,) = _SHORT.unpack(elements[_MESSAGE_ID])
        return Request(message_id, _uid(elements[_SOP_CLASS]), _uid(elements[_SOP_INSTANCE]))
    except (KeyError, ValueError, struct.error):
        return None


def response(context_id: int, request: Request, status: StoreStatus) -> bytes:
    """The P-DATA-TF PDU that answers `request`, PS3.7 9.3.1.2."""
    elements = [
        _element(_SOP_CLASS, _even(request.sop_class_uid, b"\0")),
        _element(_FIELD, _SHORT.pack(_C_STORE_RSP)),
        _element(_MESSAGE_ID_ANSWERED, _SHORT.pack(request.message_id)),
        _element(_DATA_SET_TYPE, _SHORT.pack(_NO_DATA_SET)),
        _element(_STATUS, _SHORT.pack(status.code)),
        *([_element(_ERROR_COMMENT, _even(status.comment, b" "))] if status.comment else []),
        _element(_SOP_INSTANCE, _even(request.sop_instance_uid, b"\0")),
    ]
    command_set = b"".join(elements)
    command_set = _element(0x0000, struct.pack("<L", len(command_set))) + command_set
    length = len(command_set) + 2
    return struct.pack(">BxLLBB", P_DATA, length + 4, length, context_id, COMMAND | LAST) + command_set


_SHORT = struct.Struct("<H")


def _elements(command_set: bytes) -> Mapping[int, bytes]:
    """The elements of group 0000 in Implicit VR Little Endian, PS3.7 6.3.1. Raises ValueError, struct.error."""
    elements, place = {}, 0
    while place < len(command_set):
        group, element, length = struct.unpack_from("<HHL", command_set, place)
        place += 8 + length
        if group or place > len(command_set):
            raise ValueError("not a command set")
        elements[element] = command_set[place - length : place]
    return elements


def _uid(value: bytes) -> str:
    return value.decode("latin-1").rstrip("\0 ")  # any byte: what isn't a UID is refused with a status


def _even(text: str, padding: bytes) -> bytes:
    value = text.encode("latin-1")
    return value + padding * (len(value) % 2)


def _element(element: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0x0000, element, len(value)) + value
