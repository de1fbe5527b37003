"""Syslog messages to a collector: over TLS (RFC 5425) or UDP (RFC 5426)."""

import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress

from cad_node.errors import CadNodeError
from cad_node.settings import Collector
from cad_node.tls import TlsContext, connect_tls, described

TLS_PORT, UDP_PORT = 6514, 514  # RFC 5425 4.1, RFC 5426 3.3
_TIMEOUT_S = 15.0


class CollectorUnreachable(CadNodeError):
    """It hasn't got the messages, or hasn't said so."""

    retryable = True


class TlsCollector:
    """Syslog knows no receipts. The collector's answer to close_notify is one: TLS gave it all that came before.

    So each batch has a connection of its own, which for the few messages a second at most of an audit trail costs nothing.
    """

    def __init__(self, settings: Collector) -> None:
        self._address = (settings.host, settings.port or TLS_PORT)
        self._context = TlsContext(settings.tls)

    def send(self, messages: Sequence[bytes]) -> None:
        """Return when the collector has them all. Raises CollectorUnreachable: it may have some of them; UnusableTlsFile."""
        host, port = self._address
        context = self._context.current()
        try:
            with (
                socket.create_connection(self._address, _TIMEOUT_S) as connection,
                connect_tls(connection, context, host, _TIMEOUT_S) as secured,
            ):
                secured.sendall(b"".join(b"%d %b" % (len(message), message) for message in messages))  # octet counting, RFC 5425 4.3
                _await_close(secured)
        except OSError as exc:
            raise CollectorUnreachable(f"syslog collector {host}:{port}: {described(exc)}; the messages are kept and sent later") from exc


class UdpCollector:
    """Sent is all that can be known, except where the host says that nobody listens."""

    def __init__(self, settings: Collector) -> None:
        self._address = (settings.host, settings.port or UDP_PORT)

    def send(self, messages: Sequence[bytes]) -> None:
        """Send each as a datagram. Raises CollectorUnreachable."""
        host, port = self._address
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind, protocol) as datagrams:
                datagrams.connect(address)  # so that an ICMP answer to one is the next one's error
                for message in messages:
                    datagrams.send(message)
        except OSError as exc:
            raise CollectorUnreachable(f"syslog collector {host}:{port}: {described(exc)}; the messages are kept and sent later") from exc


def _await_close(secured: ssl.SSLSocket) -> None:
    """Close our side and wait for theirs. A bare end of theirs is as good: with bytes unread it would be a reset. Raises OSError."""
    with suppress(ssl.SSLEOFError):
        secured.unwrap()
