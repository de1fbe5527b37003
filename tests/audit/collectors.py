"""Syslog collectors on loopback that can go away, come back, and behave badly."""

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.certificates import Identity

_HEADER = re.compile(rb"<(\d+)>1 (\S+) (\S+) (\S+) (\S+) (\S+) (\[.*?\]) \xef\xbb\xbf(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Received:
    """A syslog message, taken apart as RFC 5424 6 has it."""

    priority: int
    time: str
    host: str
    app_name: str
    process_id: str
    message_id: str
    structured_data: str
    message: str

    @property
    def sequence(self) -> int:
        return int(re.search(r'sequence="(\d+)"', self.structured_data)[1])


def parsed(message: bytes) -> Received:
    priority, *texts = _HEADER.fullmatch(message).groups()
    return Received(int(priority), *(text.decode() for text in texts))


@dataclass
class Inbox:
    """What a collector has taken. port: 0 until it listens; it comes back on the same."""

    port: int = 0
    messages: list[Received] = field(default_factory=list)
    connections: int = 0
    arrived: threading.Event = field(default_factory=threading.Event)

    @property
    def sequences(self) -> list[int]:
        return [message.sequence for message in self.messages]


@contextmanager
def tls_collector(inbox: Inbox, identity: Identity, authorities: Path | None = None, *, reads: bool = True) -> Iterator[Inbox]:
    """RFC 5425 with octet counting. authorities: of the client certificates it wants. reads: else it hangs up on what it was sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    if authorities:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authorities)
    with socket.create_server(("127.0.0.1", inbox.port)) as listener:
        inbox.port = listener.getsockname()[1]
        thread = threading.Thread(target=_serve, args=(listener, context, inbox, reads))
        thread.start()
        try:
            yield inbox
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def udp_collector(inbox: Inbox) -> Iterator[Inbox]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", inbox.port))
        inbox.port = datagrams.getsockname()[1]
        yield inbox
        datagrams.settimeout(1)
        with suppress(TimeoutError):
            while True:
                inbox.messages.append(parsed(datagrams.recv(65_535)))
                datagrams.settimeout(0.01)


def _serve(listener: socket.socket, context: ssl.SSLContext, inbox: Inbox, reads: bool) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # it was shut down
            return
        inbox.connections += 1
        with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
            if not reads:
                secured.recv(10)  # so that the rest is unread when the process dies
                continue
            _read_messages(secured, inbox)
            secured.unwrap()


def _read_messages(secured: ssl.SSLSocket, inbox: Inbox) -> None:
    pending = b""
    while chunk := secured.recv(65_536):
        pending += chunk
        while match := re.match(rb"([1-9]\d*) ", pending):
            end = match.end() + int(match[1])
            if len(pending) < end:
                break
            inbox.messages.append(parsed(pending[match.end() : end]))
            pending = pending[end:]
            inbox.arrived.set()
    assert not pending
