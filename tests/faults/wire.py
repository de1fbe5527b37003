"""An association as bytes on a socket: cheap enough for hundreds."""

import socket
import struct
from typing import NamedTuple

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import build_context

from tests.receive.front_door import encoded

ACCEPTED, REJECTED, DATA, RELEASE_RP = 0x02, 0x03, 0x04, 0x06  # PDU types, PS3.8 9.3
_RELEASE_RQ = b"\x05\0" + struct.pack(">LL", 4, 0)
_PDV_BYTES = 32_000
_TIMEOUT_S = 30


class Broken(ConnectionError):
    """The node is gone, or closed the association."""


class Pdu(NamedTuple):
    kind: int
    body: bytes


class Wire:
    """One connection; the association is asked for by `ask`."""

    def __init__(self, port: int) -> None:
        """Raises OSError."""
        self._socket = socket.create_connection(("127.0.0.1", port), _TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> Pdu:
        """An association for CT images. Returns the answer. Raises OSError."""
        self._socket.sendall(request_pdu())
        return self._receive()

    def store(self, ds: Dataset) -> int:
        """C-STORE; its status. Raises OSError."""
        self._socket.sendall(store_pdus(ds))
        answer = self._receive()
        if answer.kind != DATA:
            raise Broken(f"PDU of type {answer.kind}")
        return status_of(answer.body)

    def release(self) -> None:
        self._socket.sendall(_RELEASE_RQ)
        answer = self._receive()
        if answer.kind != RELEASE_RP:
            raise Broken(f"PDU of type {answer.kind}")

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> Pdu:
        kind, length = struct.unpack(">BxL", self._read(6))
        return Pdu(kind, self._read(length))

    def _read(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            if not (more := self._socket.recv(size - len(read))):
                raise Broken("closed")
            read += more
        return read


def request_pdu() -> bytes:
    """An A-ASSOCIATE-RQ for CT images in Explicit VR Little Endian."""
    context = build_context(CTImageStorage, ExplicitVRLittleEndian)
    context.context_id = 1
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = "1.2.3.4"
    length = MaximumLengthNotification()
    request = A_ASSOCIATE()
    request.application_context_name = "1.2.840.10008.3.1.1.1"
    request.calling_ae_title, request.called_ae_title = "MODALITY", "CAD_NODE"
    request.presentation_context_definition_list = [context]
    request.user_information = [length, implementation]
    return A_ASSOCIATE_RQ(request).encode()


def store_pdus(ds: Dataset) -> bytes:
    """A C-STORE request and its data set, PS3.7 9.3.1.1."""
    uids = {0x0002: ds.SOPClassUID, 0x1000: ds.SOPInstanceUID}
    numbers = {0x0100: 0x0001, 0x0110: 1, 0x0700: 2, 0x0800: 0x0000}  # C-STORE-RQ, Message ID, Priority, a data set follows
    elements = {tag: uid.encode() + b"\0" * (len(uid) % 2) for tag, uid in uids.items()} | {
        tag: struct.pack("<H", value) for tag, value in numbers.items()
    }
    command = b"".join(struct.pack("<HHL", 0, tag, len(value)) + value for tag, value in sorted(elements.items()))
    command = struct.pack("<HHLL", 0, 0, 4, len(command)) + command
    dataset = encoded(ds)
    pieces = [dataset[start : start + _PDV_BYTES] for start in range(0, len(dataset), _PDV_BYTES)]
    return _pdu(command, 0x03) + b"".join(_pdu(piece, 0x02 if number == len(pieces) else 0x00) for number, piece in enumerate(pieces, 1))


def status_of(body: bytes) -> int:
    """The status in a P-DATA-TF PDU that answers a C-STORE."""
    return _element(body[6:], 0x0900)


def _pdu(value: bytes, control: int) -> bytes:
    """One P-DATA-TF PDU of presentation context 1; control: bit 0 a command, bit 1 the last fragment, PS3.8 E.2."""
    return struct.pack(">BxLLBB", DATA, len(value) + 6, len(value) + 2, 1, control) + value


def _element(command: bytes, tag: int) -> int:
    """A number of a command set."""
    place = 0
    while place < len(command):
        _, element, length = struct.unpack_from("<HHL", command, place)
        if element == tag:
            return int(struct.unpack_from("<H", command, place + 8)[0])
        place += 8 + length
    raise Broken("an answer without a status")
