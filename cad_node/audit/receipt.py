"""Bytes over TLS with proof that the other end has read them, for a protocol that knows no receipts.

Whoever closes a TCP connection with bytes unread resets it. So a peer that acknowledged all bytes, ended the connection and
didn't reset it has read them. Python's SSLSocket can't tell these cases apart: its unwrap() takes a fatal alert, such as TLS 1.3's late
one for a missing client certificate, for the peer's close_notify.
"""

import fcntl
import os
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable
from contextlib import suppress

_READ_BYTES = 65_536
_LOOK_EVERY_S = 0.005


def send_with_receipt(connection: socket.socket, context: ssl.SSLContext, host: str, content: bytes) -> None:
    """Send all of `content` over a new connection, end it, and return when the peer has read everything.

    Raises OSError where it is not certain: a reset, an alert, or the connection's timeout.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
    while not _proceeds(tls.do_handshake):
        connection.sendall(outgoing.read())
        _receive(connection, incoming)
    tls.write(content)
    with suppress(ssl.SSLWantReadError):
        tls.unwrap()  # our close_notify; theirs is read below, where an alert is an error
    connection.sendall(outgoing.read())
    while not _proceeds(lambda: _read_to_the_end(tls)):
        with suppress(EOFError):  # no close_notify, but an end all the same
            _receive(connection, incoming)
            continue
        break
    _await_acknowledgement(connection)


def _proceeds(step: Callable[[], None]) -> bool:
    """False: it needs more from the peer."""
    try:
        step()
    except ssl.SSLWantReadError:
        return False
    return True


def _receive(connection: socket.socket, incoming: ssl.MemoryBIO) -> None:
    received = connection.recv(_READ_BYTES)
    if not received:
        raise EOFError
    incoming.write(received)


def _read_to_the_end(tls: ssl.SSLObject) -> None:
    """Until their close_notify; a collector has nothing to say before."""
    with suppress(ssl.SSLZeroReturnError):
        while tls.read(_READ_BYTES):
            pass


def _await_acknowledgement(connection: socket.socket) -> None:
    """The end may have been sent before our bytes came there: then they are answered by a reset, not acknowledged."""
    deadline = time.monotonic() + (connection.gettimeout() or 0)
    while True:
        if error := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        (unacknowledged_bytes,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))
        if not unacknowledged_bytes:
            return
        if time.monotonic() > deadline:
            raise TimeoutError("the connection ended before all was acknowledged")
        time.sleep(_LOOK_EVERY_S)
