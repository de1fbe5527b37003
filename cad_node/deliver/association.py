"""One association as SCU on a blocking socket: verification, storage, storage commitment.

pynetdicom negotiates but doesn't send: it queues a whole object before its DIMSE timeout starts, so that a large object
on a slow line never arrives, and a peer's abort between two messages can leave its send_c_store() waiting for ever.
Here the timeout is for each PDU.
"""

import socket
import struct
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import BinaryIO, NamedTuple

from cad_node.deliver.messages import (
    COMMAND,
    DATA_SET_TYPE,
    LAST,
    MESSAGE_ID_ANSWERED,
    NO_DATA_SET,
    STATUS,
    Context,
    Message,
    associate_request,
    c_echo_request,
    c_store_request,
    command_elements,
    dataset_fragments,
    fragments,
    n_action_request,
    n_event_report_request,
    n_event_report_response,
    read_acceptance,
    read_rejection,
)
from cad_node.errors import AssociationRejected, PacsUnreachable, UnusableTlsFile
from cad_node.settings import Destination, Source
from cad_node.tls import TlsContext, close_tls, connect_tls, described

MAX_CONTEXTS = 128  # odd IDs from 1 to 255, PS3.8 9.3.2.2

_ASSOCIATE_AC, _ASSOCIATE_RJ, _DATA, _RELEASE_RQ, _RELEASE_RP, _ABORT = 2, 3, 4, 5, 6, 7  # PDU types, PS3.8 9.3.1
_LARGEST_SENT = 131_072  # bytes of a P-DATA-TF PDU, where the peer has no limit
_LARGEST_READ = 1_048_576  # bytes of a PDU that answers us; whatever sends more doesn't speak DICOM
_MOST_HEARD = 2 * _LARGEST_READ  # bytes until what we wait for has come: an end to a peer that talks without one
_UNSENT_BYTES = 262_144
# DCMTK's receivers write a response in two pieces and hold the second until the first is acknowledged: 40 ms a file without this.
_QUICKACK = getattr(socket, "TCP_QUICKACK", socket.TCP_NODELAY)  # Linux has it; elsewhere the option that is set anyway
_RELEASE_TIMEOUT_S = 5


class Peer(NamedTuple):
    host: str
    port: int
    called_ae_title: str
    calling_ae_title: str
    timeout_s: float  # for the connection, and for each PDU on it
    tls: TlsContext | None = None

    @classmethod
    def of(cls, to: Destination | Source, ae_title: str, timeout_s: float) -> "Peer":
        """The peer as it is configured; ae_title: the node's own, sent unless the peer is to see another."""
        tls = TlsContext(to.tls) if to.tls else None
        return cls(to.host, to.port, to.ae_title, to.calling_ae_title or ae_title, timeout_s, tls)

    def __str__(self) -> str:
        return f"{self.called_ae_title} at {self.host}:{self.port}"


class Association:
    """An established association. A method that raises PacsUnreachable leaves it of no more use but to be closed."""

    def __init__(self, peer: Peer, contexts: Sequence[Context], scp_of: Collection[str] = ()) -> None:
        """Connect and negotiate; scp_of: SOP classes of which we are the SCP. Raises PacsUnreachable, or AssociationRejected."""
        self._peer = peer
        self._message_id = 0
        self._heard_bytes = 0  # since we last heard what we waited for
        self._fragments: deque[tuple[int, int, bytes]] = deque()  # received, not yet part of a message
        self._requests: deque[Message] = deque()  # of the peer, that came before its answer to ours
        with _translated(peer, "can't be reached"):
            self._socket = socket.create_connection((peer.host, peer.port), peer.timeout_s)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each object waits for a delayed ACK
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNSENT_BYTES)  # what waits there eats up the answer's timeout
            if peer.tls:
                self._socket = _secured(self._socket, peer, peer.tls)
            self._accepted, self._fragment_bytes = self._negotiate(contexts, scp_of)
        except BaseException:
            self._socket.close()
            raise

    def accepts(self, context: Context) -> bool:
        return context in self._accepted

    def echo(self, context: Context) -> int:
        """C-ECHO; the status, PS3.7 9.1.5."""
        command = c_echo_request(context.sop_class_uid, self._next_message_id())
        self._send_fragment(self._accepted[context], COMMAND | LAST, command)
        return self._read_status()

    def store(self, context: Context, sop_instance_uid: str, dataset: BinaryIO) -> int:
        """C-STORE what is left to read in `dataset`, which is encoded as the context says; the status, PS3.7 9.1.1."""
        command = c_store_request(context.sop_class_uid, sop_instance_uid, self._next_message_id())
        return self._ask(context, command, dataset)

    def action(self, context: Context, sop_instance_uid: str, action_type_id: int, information: bytes) -> int:
        """N-ACTION; the status, PS3.7 10.1.4."""
        command = n_action_request(context.sop_class_uid, sop_instance_uid, action_type_id, self._next_message_id())
        return self._ask(context, command, BytesIO(information))

    def event_report(self, context: Context, sop_instance_uid: str, event_type_id: int, information: bytes) -> int:
        """N-EVENT-REPORT; the status, PS3.7 10.1.1."""
        command = n_event_report_request(context.sop_class_uid, sop_instance_uid, event_type_id, self._next_message_id())
        return self._ask(context, command, BytesIO(information))

    def await_request(self, timeout_s: float) -> Message:
        """What the peer asks of us. Raises PacsUnreachable, also when it doesn't ask anything for `timeout_s`."""
        self._socket.settimeout(timeout_s)
        while not self._requests:
            message = self._read_message()
            if message.is_request:
                self._requests.append(message)
        self._socket.settimeout(self._peer.timeout_s)
        self._heard_bytes = 0
        return self._requests.popleft()

    def answer_event_report(self, request: Message, status: int) -> None:
        """Answer what await_request gave."""
        with _translated(self._peer, "sends an event report that can't be answered"):
            self._send_fragment(request.context_id, COMMAND | LAST, n_event_report_response(request, status))

    def release(self) -> None:
        """End the association in order, as far as the peer plays along."""
        with suppress(OSError, PacsUnreachable):
            self._socket.settimeout(min(_RELEASE_TIMEOUT_S, self._peer.timeout_s))
            self._send(struct.pack(">BxL4x", _RELEASE_RQ, 4))
            while self._read_pdu()[0] != _RELEASE_RP:
                pass
        close_tls(self._socket)

    def abort(self) -> None:
        """End the association at once, as after a PacsUnreachable."""
        with suppress(OSError, PacsUnreachable):
            self._socket.settimeout(min(_RELEASE_TIMEOUT_S, self._peer.timeout_s))
            self._send(struct.pack(">BxL4x", _ABORT, 4))
        self._socket.close()

    def _negotiate(self, contexts: Sequence[Context], scp_of: Collection[str]) -> tuple[dict[Context, int], int]:
        """The accepted contexts with their IDs, and how many bytes of a message go into one PDU."""
        proposed = {2 * index + 1: context for index, context in enumerate(contexts)}
        self._send(associate_request(self._peer.called_ae_title, self._peer.calling_ae_title, proposed, scp_of))
        pdu_type, pdu = self._read_pdu()
        with _translated(self._peer, "answers the association request with what isn't DICOM"):
            if pdu_type == _ASSOCIATE_RJ:
                for_good, reason = read_rejection(pdu)
                kind, error = ("for good", AssociationRejected) if for_good else ("for now", PacsUnreachable)
                raise error(f"{self._peer} rejects associations of {self._peer.calling_ae_title} {kind}: {reason}")
            acceptance = read_acceptance(pdu)
        limit = min(acceptance.largest_pdu_bytes or _LARGEST_SENT, _LARGEST_SENT)
        accepted = {context: context_id for context_id, context in proposed.items() if context_id in acceptance.context_ids}
        return accepted, max(limit - 6, 2) & ~1  # less the PDV's header; a fragment is of even length, PS3.8 E.1

    def _next_message_id(self) -> int:
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    def _send_fragment(self, context_id: int, control: int, fragment: bytes) -> None:
        length = len(fragment)
        self._send(struct.pack(">BxLLBB", _DATA, length + 6, length + 2, context_id, control) + fragment)

    def _ask(self, context: Context, command: bytes, dataset: BinaryIO) -> int:
        """Send a request with its data set; the status of its response."""
        context_id = self._accepted[context]
        self._send_fragment(context_id, COMMAND | LAST, command)
        for is_last, fragment in dataset_fragments(dataset, self._fragment_bytes):
            self._send_fragment(context_id, LAST if is_last else 0, fragment)
        return self._read_status()

    def _read_status(self) -> int:
        with _translated(self._peer, "answers with what isn't a response to the request"):
            while (response := self._read_message()).is_request:
                self._requests.append(response)
            answered = response.number(MESSAGE_ID_ANSWERED)
            if answered != self._message_id:
                raise ValueError(f"message {answered} answered, {self._message_id} sent")
            self._heard_bytes = 0
            return response.number(STATUS)

    def _read_message(self) -> Message:
        """The next response, or the next request with its data set. Data sets of responses say nothing that we need."""
        command, dataset = bytearray(), bytearray()
        while True:
            context_id, control, fragment = self._next_fragment()
            if not control & COMMAND and not command:
                continue  # of a response's data set
            (command if control & COMMAND else dataset).extend(fragment)
            if len(command) + len(dataset) > _LARGEST_READ:
                raise PacsUnreachable(f"{self._peer} sends a message of more than {_LARGEST_READ} bytes")
            if control & LAST:
                with _translated(self._peer, "sends a command set that can't be read"):
                    message = Message(context_id, command_elements(bytes(command)), bytes(dataset))
                    if not control & COMMAND or not message.is_request or message.number(DATA_SET_TYPE) == NO_DATA_SET:
                        return message

    def _next_fragment(self) -> tuple[int, int, bytes]:
        while not self._fragments:
            pdu_type, pdu = self._read_pdu()
            if pdu_type != _DATA:
                raise PacsUnreachable(f"{self._peer} ended the association before it answered")
            with _translated(self._peer, "sends what isn't a message"):
                self._fragments.extend(fragments(pdu))
        return self._fragments.popleft()

    def _send(self, pdu: bytes) -> None:
        with _translated(self._peer, "was lost while sending"):
            self._socket.sendall(pdu)

    def _read_pdu(self) -> tuple[int, bytes]:
        """PDU type, and the PDU with its header."""
        header = self._read(6)
        pdu_type, length = struct.unpack(">BxL", header)
        if length > _LARGEST_READ:
            raise PacsUnreachable(f"{self._peer} sends a PDU of {length} bytes; is it a DICOM port?")
        self._heard_bytes += 6 + length
        if self._heard_bytes > _MOST_HEARD:
            raise PacsUnreachable(f"{self._peer} sends {self._heard_bytes} bytes, and not what it was asked for")
        pdu = header + self._read(length)
        if pdu_type == _ABORT:
            raise PacsUnreachable(f"{self._peer} aborted the association")
        return pdu_type, pdu

    def _read(self, length: int) -> bytes:
        received, deadline = bytearray(), time.monotonic() + (self._socket.gettimeout() or float("inf"))
        while len(received) < length:
            with _translated(self._peer, "was lost while waiting for its answer"):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)  # spent by each read
                if time.monotonic() > deadline:  # the socket's own timeout starts anew with each byte
                    raise TimeoutError
                chunk = self._socket.recv(length - len(received))
            if not chunk:
                raise PacsUnreachable(f"{self._peer} closed the connection")
            received += chunk
        return bytes(received)


def _secured(connection: socket.socket, peer: Peer, tls: TlsContext) -> socket.socket:
    try:
        context = tls.current()
    except UnusableTlsFile as exc:
        raise PacsUnreachable(f"{peer} can't be called over TLS: {exc}") from exc
    with _translated(peer, "makes no secure connection"):
        return connect_tls(connection, context, peer.host, peer.timeout_s)


@contextmanager
def _translated(peer: Peer, what: str) -> Iterator[None]:
    """Trouble on the wire, or bytes that make no sense, as PacsUnreachable."""
    try:
        yield
    except TimeoutError as exc:
        raise PacsUnreachable(f"{peer} {what}: no answer within {peer.timeout_s:g} s") from exc
    except OSError as exc:
        raise PacsUnreachable(f"{peer} {what}: {described(exc)}") from exc
    except (ValueError, KeyError) as exc:
        raise PacsUnreachable(f"{peer} {what}: {exc}") from exc
