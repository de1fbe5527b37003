"""A DICOMweb service, and a token server, that answer as a test says; on loopback."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import NamedTuple

from pydicom import dcmread

JSON = "application/dicom+json"


class Asked(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def parts(self) -> list[bytes]:
        """The contents of the multipart body, PS3.18 8.6.1."""
        boundary = self.headers["Content-Type"].rpartition("boundary=")[2].encode()
        pieces = self.body.split(b"--" + boundary)
        assert (pieces[0], pieces[-1]) == (b"", b"--\r\n")
        return [piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for piece in pieces[1:-1]]

    @property
    def instances(self) -> list[str]:
        """The SOP Instance UIDs in it."""
        return [str(dcmread(BytesIO(part), specific_tags=["SOPInstanceUID"]).SOPInstanceUID) for part in self.parts]


class Says(NamedTuple):
    status: int
    body: bytes = b""
    media_type: str = JSON
    headers: Mapping[str, str] = {}


Behave = Callable[[Asked], Says | None]  # None: the connection is dropped


@dataclass
class Service:
    port: int
    scheme: str
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}/dicom-web"

    @property
    def stored(self) -> list[list[str]]:
        """The SOP Instance UIDs of each request."""
        return [asked.instances for asked in self.asked if asked.path.endswith("/studies")]


@contextmanager
def dicomweb(behave: Behave, context: ssl.SSLContext | None = None) -> Iterator[Service]:
    """behave: what it answers to a request."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._answer()

        def do_POST(self):
            self._answer()

        def _answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(self.command, self.path, dict(self.headers), body)
            service.asked.append(asked)
            says = behave(asked)
            if says is None:
                self.close_connection = True
                return
            self.send_response(says.status)
            headers = {"Content-Type": says.media_type, "Content-Length": str(len(says.body)), **says.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(says.body)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):
            """A client that hangs up is part of the test."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        service = Service(server.server_port, "https" if context else "http")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()


def told(stored: Sequence[str] = (), failed: Mapping[str, int] | None = None) -> bytes:
    """The data set of an answer to STOW-RS in DICOM JSON, PS3.18 10.5.3. failed: Failure Reason by SOP Instance UID."""
    referenced = [{"00081155": {"vr": "UI", "Value": [uid]}} for uid in stored]
    failures = [{"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [why]}} for uid, why in (failed or {}).items()]
    sequences = {"00081199": referenced, "00081198": failures}
    return json.dumps({tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items}).encode()


def token_answer(token: str, expires_in: int = 3600) -> Says:
    """RFC 6749 5.1."""
    granted = {"access_token": token, "token_type": "Bearer", "expires_in": expires_in}
    return Says(200, json.dumps(granted).encode(), "application/json")
