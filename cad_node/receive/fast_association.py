"""Associations at the speed of the wire; written for pynetdicom 3.0.4, beneath its public surface, and the only file that is.

pynetdicom runs two threads for an association, which wake every millisecond, copy each PDU several times and encode each
C-STORE response through pydicom. Here an association is one thread that sleeps until its socket has something to say, and
C-STORE is read and answered without pynetdicom's message classes. All else - negotiation, every other message, abort,
release, their collisions, the timers - is pynetdicom's own state machine, fed with the PDUs it would have read itself.
Its EVT_DATA_RECV, EVT_PDU_RECV and EVT_DIMSE_RECV aren't triggered for C-STORE, nor EVT_C_STORE: the sink is asked.

What is leant on, and has to be looked at again with another version: `dul.DULServiceProvider` (its queues, timers, _decode_pdu,
_read_pdu_data, _process_recv_primitive, stop_dul), `association.Association` (run_reactor, _serve_request, _accepted_cx, _dul_ready),
`dimse.DIMSEServiceProvider` (message, get_msg, send_msg), `transport` (RequestHandler._create_association, AssociationSocket).
tests/receive/test_fast_association.py runs the same associations through pynetdicom's own path and compares.
"""

import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from socketserver import TCPServer
from typing import Any, NamedTuple, cast

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationServer, AssociationSocket, RequestHandler

from cad_node.log import get_logger
from cad_node.receive.authorization import is_authorized, not_authorized
from cad_node.receive.c_store import COMMAND, LAST, P_DATA, Sink, StoreCommand, read_request, response
from cad_node.receive.data_set_stream import PDU_HEADER, Closed, Interrupted, InvalidPdu, read_data_set
from cad_node.tls import close_tls, described

log = get_logger()

Begin = Callable[[StoreCommand, Association], Sink]

_LARGEST_OTHER_PDU = 1 << 20  # bytes: an association request with 128 presentation contexts has a tenth of that
_LARGEST_COMMAND_SET = 1 << 16  # bytes, as it came, in PDUs
_LARGEST_OTHER_MESSAGE = 16 << 20  # bytes: identifiers, action information; no instance comes this way
_SLICE_S = 0.1  # how long a thread waits before it looks up: whether it is told to pause, whether time is up
_WASTED_BYTES = 1 << 16
_ESTABLISHED, _CLOSING, _IDLE = "Sta6", "Sta13", "Sta1"  # PS3.8 9.2
_CLOSED, _TIME_IS_UP, _INVALID_PDU = "Evt17", "Evt18", "Evt19"
_EVENTS = {Closed: _CLOSED, InvalidPdu: _INVALID_PDU}
_READ_AHEAD_BYTES = 1 << 14
_QUICKACK = getattr(socket, "TCP_QUICKACK", socket.TCP_NODELAY)  # Linux has it; elsewhere the option that is set anyway


class Connection(AssociationSocket):
    """pynetdicom's socket, read into buffers that exist already, with a deadline for whatever has begun to come."""

    def __init__(self, assoc: "FastAssociation", client_socket: socket.socket) -> None:
        super().__init__(assoc, client_socket=client_socket)
        self._ahead = b""  # read, but not asked for yet
        self._secured: ssl.SSLSocket | None = None
        client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client_socket.settimeout(None)  # the kernel keeps the time, so that MSG_WAITALL can be used
        client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(_SLICE_S))
        client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(assoc.network_timeout or 0))

    def secure(self, shake_hands: Callable[[socket.socket], ssl.SSLSocket]) -> None:
        """The TLS handshake. Raises OSError."""
        self.socket = self._secured = shake_hands(cast(socket.socket, self.socket))
        self._secured.settimeout(_SLICE_S)

    @property
    def secured(self) -> ssl.SSLSocket | None:
        """The TLS connection, where it is one."""
        return self._secured

    def wait(self, poll: select.poll, timeout_s: float) -> bool:
        """Wait for the peer, or for whoever wakes the thread; True: the peer has something to say, or is gone."""
        if self._ahead or (self._secured and self._secured.pending()):
            return True
        descriptor = self.socket.fileno() if self.socket else -1
        return any(ready == descriptor for ready, _ in poll.poll(timeout_s * 1000))

    def recv(self, nr_bytes: int) -> bytearray:
        """Read `nr_bytes`; fewer if the peer closes. Raises TimeoutError."""
        if len(self._ahead) < nr_bytes:
            into = memoryview(bytearray(max(nr_bytes, _READ_AHEAD_BYTES)))
            self._ahead = bytes(into[: self.read(into, nr_bytes)])
        wanted, self._ahead = bytearray(self._ahead[:nr_bytes]), self._ahead[nr_bytes:]
        return wanted

    def read(self, into: memoryview, least: int) -> int:
        """Fill `into` with what has come, and wait until it is `least` bytes; returns how many, fewer only if the peer has closed.

        Raises TimeoutError when the network timeout runs out first, or the association is to end.
        """
        done = min(len(self._ahead), len(into))
        into[:done], self._ahead = self._ahead[:done], self._ahead[done:]
        done += max(self._read_some(into[done:], wait=False), 0)
        if done >= least:
            return done
        assoc = cast(FastAssociation, self.assoc)
        deadline = time.monotonic() + (assoc.network_timeout or float("inf"))
        while done < least:
            arrived = self._read_some(into[done:least], wait=True)
            if arrived == 0:
                break
            done += max(arrived, 0)
            if done < least and (time.monotonic() > deadline or assoc.dul.is_called()):
                raise TimeoutError("a PDU has begun and doesn't end")
        return done

    def waste(self) -> bool:
        """Throw away some of what has come; False: the peer has closed."""
        ahead, self._ahead = self._ahead, b""
        return bool(ahead) or self._read_some(memoryview(bytearray(_WASTED_BYTES)), wait=True) != 0

    def put_back(self, unread: bytes) -> None:
        """Have the next read begin with `unread`."""
        self._ahead = unread + self._ahead

    def send(self, bytestream: bytes) -> None:
        """Send all of it; that a connection is lost meanwhile is the state machine's to know."""
        try:
            if self.socket is None:
                raise OSError("closed")
            if self._secured:
                self._secured.settimeout(self.assoc.network_timeout)
            self.socket.sendall(bytestream)
            if self._secured:
                self._secured.settimeout(_SLICE_S)
        except OSError:
            self.event_queue.put(_CLOSED)

    def close(self) -> None:
        """Close, and give the descriptor back, which pynetdicom doesn't where the peer was first."""
        opened = self.socket
        if self._secured and opened:
            close_tls(self._secured)
        super().close()
        if opened:
            opened.close()

    def _read_some(self, into: memoryview, *, wait: bool) -> int:
        """How many bytes came; 0: closed; -1: none yet. A wait is for all of `into`, with TLS for a part, and isn't long."""
        if not into:
            return -1
        if self.socket is None:
            return 0
        try:
            if self._secured:
                return self._secured.recv_into(into) if wait or self._secured.pending() else -1
            if wait:  # a sender with Nagle's algorithm on waits too, for the acknowledgement; the option is spent by each read
                self.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            return self.socket.recv_into(into, len(into), socket.MSG_WAITALL if wait else socket.MSG_DONTWAIT)
        except (BlockingIOError, TimeoutError):
            return -1


class UpperLayer(DULServiceProvider):
    """pynetdicom's upper layer without a thread: whoever waits for something turns it."""

    def __init__(self, assoc: "FastAssociation") -> None:
        super().__init__(assoc)
        self._fast = assoc
        self._runs = False
        self._is_broken = False  # what the peer sent couldn't be dealt with
        self._turning = threading.RLock()  # the association's thread, or another that uses the association meanwhile
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)

    @property
    def connection(self) -> Connection:
        return cast(Connection, self.socket)

    def start(self) -> None:
        self._runs = True
        self._idle_timer.start()
        self._poll.register(cast(socket.socket, self.connection.socket), select.POLLIN)
        self.assoc._dul_ready.set()

    def is_alive(self) -> bool:
        return self._runs and not self._kill_thread

    def is_called(self) -> bool:
        """Whether a read shouldn't go on: the association is to end, or its start takes too long."""
        return self._kill_thread or not self.to_provider_queue.empty() or self.artim_timer.expired

    def send_pdu(self, primitive: Any) -> None:
        super().send_pdu(primitive)
        if self._runs:
            os.eventfd_write(self._bell, 1)

    def receive_pdu(self, wait: bool = False, timeout: float | None = None) -> Any:
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while wait and self.to_user_queue.empty() and self.is_alive() and time.monotonic() < deadline:
            self.turn(_SLICE_S)
        return super().receive_pdu(wait=False)

    def stop_dul(self) -> bool:
        """One turn towards the state machine's rest; whether it has come there."""
        if self.state_machine.current_state != _IDLE and self.is_alive():
            self.turn(_SLICE_S)
        if self.state_machine.current_state == _IDLE:
            self._kill_thread = True
        return self._kill_thread

    def turn(self, wait_s: float) -> bool:
        """Send what is to be sent, else read what the peer says, else wait for it; whether there was anything."""
        with self._turning:
            try:
                there_was = self._look(wait_s) or not self.event_queue.empty()
                while self.is_alive() and not self.event_queue.empty():
                    self.state_machine.do_action(self.event_queue.get_nowait())
            except Exception:  # whatever the peer has sent, it ends this association alone
                log.exception("association.broken", calling_ae_title=self.assoc.requestor.ae_title)
                self._break_off()
                return False
            return there_was

    def flush(self) -> None:
        """Send what waits, and read what the peer has said meanwhile: a C-CANCEL."""
        while self.is_alive() and self.turn(0):
            pass

    def take(self, pdu: bytes) -> None:
        """A whole PDU, for the state machine."""
        try:
            decoded, event = self._decode_pdu(bytearray(pdu))
        except Exception as error:  # noqa: BLE001 - pynetdicom raises anything on what isn't a PDU
            log.warning("pdu.undecodable", calling_ae_title=self.assoc.requestor.ae_title, error=type(error).__name__)
            self.event_queue.put(_INVALID_PDU)
            return
        self._recv_pdu.put(decoded)
        self.event_queue.put(event)

    def dispose(self) -> None:
        """Give back what the operating system has lent."""
        with self._turning:
            self._runs = False
            os.close(self._bell)

    def _look(self, wait_s: float) -> bool:
        if self.artim_timer.expired:
            self.event_queue.put(_TIME_IS_UP)
        if not self.event_queue.empty() or self._process_recv_primitive():
            return True
        if self.state_machine.current_state == _CLOSING:
            return self._hear_out()
        if self.connection.wait(self._poll, wait_s):
            self._idle_timer.restart()
            self._receive()
            self._idle_timer.restart()
            return True
        return self._was_called()

    def _hear_out(self) -> bool:
        """Throw away what still comes, whatever lengths it names, and close once there is nothing more, PS3.8 9.2.3: AA-6, AR-5."""
        if self.connection.wait(self._poll, 0) and self.connection.waste():
            return True
        self.connection.close()
        self.event_queue.put(_CLOSED)
        return True

    def _was_called(self) -> bool:
        try:
            return os.eventfd_read(self._bell) > 0
        except BlockingIOError:
            return False

    def _receive(self) -> None:
        """Read one PDU, or one C-STORE request with its data set."""
        header = bytes(self.connection.recv(PDU_HEADER.size))
        if len(header) < PDU_HEADER.size:
            self.event_queue.put(_CLOSED)
            return
        pdu_type, length = PDU_HEADER.unpack(header)
        if length > (self._fast.largest_pdu_bytes if pdu_type == P_DATA else _LARGEST_OTHER_PDU):
            log.warning("pdu.too_long", calling_ae_title=self.assoc.requestor.ae_title, pdu_type=pdu_type, length=length)
            self.event_queue.put(_INVALID_PDU)
        elif pdu_type == P_DATA and self.state_machine.current_state == _ESTABLISHED and self.assoc.dimse.message is None:
            self._fast.receive_message(header)
        else:
            self.connection.put_back(header)
            self._read_pdu_data()
            self._check_message_size()

    def _check_message_size(self) -> None:
        """End an association that fills the memory with a message that isn't an instance."""
        message = self.assoc.dimse.message
        parts = (message.encoded_command_set, message.data_set) if message else ()
        if sum(part.tell() for part in parts if part) > _LARGEST_OTHER_MESSAGE:
            self.event_queue.put(_INVALID_PDU)

    def _break_off(self) -> None:
        """Abort in order, so that whoever waits for the association's end is told; if that fails too, at once."""
        if not self._is_broken:
            self._is_broken = True
            self._kill_thread = self.assoc._kill  # do_action has set it, and would have nobody told
            self.event_queue.put(_INVALID_PDU)
            return
        self.assoc.is_aborted, self.assoc.is_established = True, False
        self.assoc._kill = self._kill_thread = True
        self.connection.close()
        evt.trigger(self.assoc, evt.EVT_ABORTED, {})


class Messages(DIMSEServiceProvider):
    """pynetdicom's message layer, which turns the upper layer while it waits."""

    def __init__(self, assoc: "FastAssociation") -> None:
        super().__init__(assoc)
        self._fast = assoc

    def get_msg(self, block: bool = False) -> Any:
        """The next message; without `block`, None as soon as there is nothing more to do."""
        deadline = time.monotonic() + ((self.dimse_timeout or float("inf")) if block else 0)
        upper = self._fast.dul
        while self.msg_queue.empty() and upper.is_alive():
            turned = upper.turn(_SLICE_S)
            if block and time.monotonic() > deadline:
                break
            if not block and (not turned or not upper.to_user_queue.empty() or not self._fast.is_running_free()):
                break
        return super().get_msg(block=False) if not self.msg_queue.empty() else (None, None)

    def send_msg(self, primitive: Any, context_id: int) -> None:
        super().send_msg(primitive, context_id)
        self._fast.dul.flush()


class _Value(NamedTuple):
    """A presentation data value in a PDU, PS3.8 9.3.5.1."""

    context_id: int
    control: int
    content: memoryview
    rest: memoryview  # of the PDU, behind this value


class FastAssociation(Association):
    """An association as acceptor, in one thread."""

    dul: UpperLayer

    def __init__(self, server: "FastServer") -> None:
        super().__init__(server.ae, "acceptor")
        self._offer = server.offer
        self.dul = UpperLayer(self)
        self.dimse = Messages(self)
        self.acse_timeout, self.network_timeout = self.ae.acse_timeout, self.ae.network_timeout  # known to the timers that are new
        self.largest_pdu_bytes = self.ae.maximum_pdu_size
        self.tls_failure = ""  # why there is no handshake

    def run_reactor(self) -> None:
        """The whole life of the association, in its thread."""
        try:
            if self._is_secure():
                super().run_reactor()
        finally:
            self._is_paused = True  # a thread that waits for the pause to use the association goes on, and finds that it has ended
            self.dul.dispose()
            self.dul.connection.close()

    def is_running_free(self) -> bool:
        """Whether no other thread wants to use the association."""
        return self._reactor_checkpoint.is_set() and not self._kill

    def receive_message(self, header: bytes) -> None:
        """Read the message whose first PDU begins with `header`: C-STORE is served, another is left to pynetdicom."""
        connection, pdus, command_set, size = self.dul.connection, [], b"", 0
        while True:
            pdus.append(header + bytes(connection.recv(PDU_HEADER.unpack(header)[1])))
            values = _values(pdus[-1])
            for value in values:
                command_set += value.content if value.control & COMMAND else b""
                if value.control == COMMAND | LAST and self._serve(value.context_id, command_set, value.rest):
                    return None
                if value.control != COMMAND:
                    return self._leave_to_pynetdicom(pdus)
            size += len(pdus[-1])
            header = bytes(connection.recv(PDU_HEADER.size)) if values and size < _LARGEST_COMMAND_SET else b""
            if len(header) < PDU_HEADER.size or not self._goes_on(header):
                connection.put_back(header)
                return self._leave_to_pynetdicom(pdus)

    def _serve_request(self, msg: Any, context_id: int) -> None:
        """pynetdicom goes by the SOP class that a message names; here, only where that was negotiated."""
        context = self._accepted_cx.get(context_id)
        if context and msg.is_valid_request and not is_authorized(msg, context):
            log.warning("message.refused", calling_ae_title=self.requestor.ae_title, message=type(msg).__name__)
            self.dimse.send_msg(not_authorized(msg), context_id)
            return
        super()._serve_request(msg, context_id)

    def _is_secure(self) -> bool:
        """The TLS handshake, where there is to be one; here, where a peer that dawdles keeps nobody else waiting."""
        try:
            if self._offer.shake_hands:
                self.dul.connection.secure(self._offer.shake_hands)
        except OSError as error:
            self.tls_failure = described(error)
            evt.trigger(self, evt.EVT_CONN_CLOSE, {"address": cast(Any, self.requestor.address_info).as_tuple})
            log.warning("tls.failed", address=cast(Any, self.requestor.address_info).address, reason=self.tls_failure)
            return False
        return True

    def _goes_on(self, header: bytes) -> bool:
        """Whether a P-DATA-TF PDU begins; header: with whatever has come of the first value's."""
        pdu_type, length = PDU_HEADER.unpack_from(header)
        return bool(pdu_type == P_DATA and length <= self.largest_pdu_bytes)

    def _leave_to_pynetdicom(self, pdus: Sequence[bytes]) -> None:
        for pdu in pdus:
            self.dul.take(pdu)

    def _serve(self, context_id: int, command_set: bytes, rest_of_pdu: memoryview) -> bool:
        """Take the data set of a C-STORE request and answer it. False: the message is another, nothing has been done."""
        request = read_request(command_set)
        context = self._accepted_cx.get(context_id)
        if request is None or context is None or not context.as_scp or context.abstract_syntax not in self._offer.stored:
            return False
        syntax = str(context.transfer_syntax[0])
        sink = self._offer.begin(StoreCommand(request.sop_class_uid, request.sop_instance_uid, syntax, self.requestor.ae_title), self)
        self.dul.connection.put_back(bytes(rest_of_pdu))
        try:
            read_data_set(self.dul.connection, sink, context_id, self.largest_pdu_bytes, len(rest_of_pdu))
        except TimeoutError:
            sink.abandon()
            if self.dul.to_provider_queue.empty():  # else it is to end anyway
                log.warning("association.overdue", calling_ae_title=self.requestor.ae_title)
                self.abort(block=False)
        except Interrupted as interrupted:
            sink.abandon()
            if event := _EVENTS.get(type(interrupted)):
                self.dul.event_queue.put(event)
        except BaseException:
            sink.abandon()
            raise
        else:
            self.dul.connection.send(response(context_id, request, sink.finish()))
        return True


class Offer(NamedTuple):
    """What a server has for those who come."""

    contexts: Mapping[str, tuple[PresentationContext, ...]]  # by abstract syntax
    stored: frozenset[str]  # abstract syntaxes whose C-STOREs go to `begin`
    begin: Begin
    shake_hands: Callable[[socket.socket], ssl.SSLSocket] | None  # of TLS, where it is spoken
    max_connections: int


class FastServer(AssociationServer):
    """Accepts connections, and does nothing else in the thread that does so."""

    request_queue_size = 1024

    def __init__(self, *args: Any, offer: Offer, **kwargs: Any) -> None:
        self.offer = offer
        self._was_full = False  # when the last connection came
        super().__init__(*args, **kwargs)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - socketserver's
        """False closes a connection at once: each has a thread, an association or not."""
        is_full = len(self.active_associations) >= self.offer.max_connections
        if is_full and not self._was_full:
            log.warning("connections.full", max_connections=self.offer.max_connections, address=client_address[0])
        self._was_full = is_full
        return not is_full

    def shutdown(self) -> None:
        """Stop accepting; the associations that are open go on."""
        TCPServer.shutdown(self)
        self.server_close()

    def service_actions(self) -> None:
        """Nothing: pynetdicom collects garbage here, while every association waits."""


class FastRequestHandler(RequestHandler):
    """Makes the association; contexts are offered when it is known which are asked for."""

    server: FastServer

    def _create_association(self) -> Association:
        assoc = FastAssociation(self.server)
        assoc._server = self.server
        assoc.name = f"AcceptorThread@{datetime.now(UTC):%Y%m%d%H%M%S}"  # the name by which pynetdicom counts associations
        assoc.set_socket(Connection(assoc, self.request))
        assoc.acceptor.maximum_length = self.ae.maximum_pdu_size
        assoc.acceptor.ae_title = self.server.ae_title
        assoc.acceptor.address_info = self.local
        assoc.acceptor.implementation_class_uid = self.ae.implementation_class_uid
        assoc.acceptor.implementation_version_name = self.ae.implementation_version_name
        assoc.requestor.address_info = self.remote
        assoc.bind(evt.EVT_REQUESTED, _offer_what_is_asked_for, [self.server.offer])  # before those who take some of it back
        for event, handler in self._handlers():
            assoc.bind(event, *handler)
        return assoc

    def _handlers(self) -> Iterator[tuple[Any, Any]]:
        for event, bound in self.server._handlers.items():
            if isinstance(event, evt.NotificationEvent):
                yield from ((event, handler) for handler in cast(Any, bound))
            elif bound:
                yield event, bound


def _offer_what_is_asked_for(event: Any, offer: Offer) -> None:
    """Give the acceptor its contexts: of hundreds that could be had, those that the requestor proposes."""
    proposed = {str(context.abstract_syntax) for context in event.assoc.requestor.primitive.presentation_context_definition_list}
    event.assoc.acceptor.supported_contexts = [context for uid in proposed for context in offer.contexts.get(uid, ())]


def _values(pdu: bytes) -> list[_Value]:
    """The presentation data values of a P-DATA-TF PDU; none if it isn't whole and sound."""
    values, place, content = [], PDU_HEADER.size, memoryview(pdu)
    if len(pdu) != place + PDU_HEADER.unpack_from(pdu)[1]:
        return []
    while place + 6 <= len(pdu):
        length, context_id, control = struct.unpack_from(">LBB", pdu, place)
        if length < 2 or place + 4 + length > len(pdu):
            return []
        end = place + 4 + length
        values.append(_Value(context_id, control, content[place + 6 : end], content[end:]))
        place = end
    return values if place == len(pdu) else []


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
