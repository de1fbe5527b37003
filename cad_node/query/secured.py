"""TLS for pynetdicom's associations as requestor: it says nothing of a handshake that failed, and loses its descriptor."""

import socket
import ssl
from typing import Any

from cad_node.tls import close_tls, described


class SecuredSocket(ssl.SSLSocket):
    """Remembers why it couldn't connect."""

    trouble: OSError | None = None

    def connect(self, addr: Any) -> None:
        try:
            super().connect(addr)
        except OSError as exc:
            self.trouble = exc
            raise


class SecuredSockets:
    """Stands where pynetdicom takes an SSLContext, which it only asks for sockets."""

    def __init__(self, context: ssl.SSLContext) -> None:
        context.sslsocket_class = SecuredSocket
        self._context = context
        self._made: list[SecuredSocket] = []

    def wrap_socket(self, plain: socket.socket, **how: Any) -> ssl.SSLSocket:
        secured = self._context.wrap_socket(plain, **how)
        assert isinstance(secured, SecuredSocket)
        self._made.append(secured)
        return secured

    @property
    def trouble(self) -> str:
        """Why the connection failed, if it did."""
        return next((described(secured.trouble) for secured in self._made if secured.trouble), "")

    def close(self) -> None:
        for secured in self._made:
            close_tls(secured)
