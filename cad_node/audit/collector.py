"""Syslog messages to a collector: over TLS (RFC 5425) or UDP (RFC 5426)."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cad_node.audit.receipt import send_with_receipt
from cad_node.errors import CadNodeError
from cad_node.settings import Collector
from cad_node.tls import TlsContext, described

TLS_PORT, UDP_PORT = 6514, 514  # RFC 5425 4.1, RFC 5426 3.3
_TIMEOUT_S = 15.0


class CollectorUnreachable(CadNodeError):
    """It hasn't got the messages, or hasn't said so."""

    retryable = True


class TlsCollector:
    """Each batch has a connection of its own: its end is the receipt, which syslog hasn't got."""

    def __init__(self, settings: Collector) -> None:
        self._address = (settings.host, settings.port or TLS_PORT)
        self._context = TlsContext(settings.tls)

    def send(self, messages: Sequence[bytes]) -> None:
        """Return when the collector has them all. Raises CollectorUnreachable: it may have some of them; UnusableTlsFile."""
        context = self._context.current()
        content = b"".join(b"%d %b" % (len(message), message) for message in messages)  # octet counting, RFC 5425 4.3
        with _translated(self._address), socket.create_connection(self._address, _TIMEOUT_S) as connection:
            send_with_receipt(connection, context, self._address[0], content)


class UdpCollector:
    """Sent is all that can be known, except where the host says that nobody listens."""

    def __init__(self, settings: Collector) -> None:
        self._address = (settings.host, settings.port or UDP_PORT)

    def send(self, messages: Sequence[bytes]) -> None:
        """Send each as a datagram. Raises CollectorUnreachable."""
        with _translated(self._address):
            family, kind, protocol, _, address = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
            with socket.socket(family, kind, protocol) as datagrams:
                datagrams.connect(address)  # so that an ICMP answer to one is the next one's error
                for message in messages:
                    datagrams.send(message)


@contextmanager
def _translated(address: tuple[str, int]) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError) as exc:
        why = described(exc) if isinstance(exc, OSError) else "it ended the connection"
        where = f"syslog collector {address[0]}:{address[1]}"
        raise CollectorUnreachable(f"{where}: {why}; the messages are kept and sent later") from exc
