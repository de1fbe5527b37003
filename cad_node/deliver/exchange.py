"""One HTTP request and its answer; requests does the work, by this node's rules of TLS."""

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from cad_node.errors import PacsUnreachable, UnusableTlsFile
from cad_node.tls import TlsContext, described

_LARGEST_ANSWER = 4 << 20  # bytes: an entry for each object of a request, and no more
_READ_BYTES = 65_536


class Body(Protocol):
    """What is sent, made anew each time it is iterated over; its length is known ahead, since not every server takes chunks."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...


class Answer(NamedTuple):
    status: int
    media_type: str  # of the body, in lower case, without parameters
    body: bytes
    retry_after_s: float  # RFC 9110 10.2.3; 0 where it doesn't say

    def __str__(self) -> str:
        known = self.status in set(HTTPStatus)
        return f"HTTP {self.status} {HTTPStatus(self.status).phrase}" if known else f"HTTP {self.status}"


@contextmanager
def opened_session(url: str, tls: TlsContext) -> Iterator[requests.Session]:
    """Connections to the server of `url`, kept for the requests made on it. Raises PacsUnreachable."""
    try:
        context = tls.current()
    except UnusableTlsFile as exc:
        raise PacsUnreachable(f"{origin(url)} can't be called over TLS: {exc}") from exc
    with requests.Session() as session:
        session.mount("https://", _Secured(context))
        yield session


def exchange(  # noqa: PLR0917 - what makes up a request
    session: requests.Session,
    method: str,
    url: str,
    timeout_s: float,
    headers: Mapping[str, str],
    data: Body | Mapping[str, str] | None = None,
) -> Answer:
    """Ask and read the answer, whatever its status; redirects aren't followed. Raises PacsUnreachable."""
    try:
        with session.request(
            method, url, data=data, headers=dict(headers), auth=_as_it_is, timeout=timeout_s, allow_redirects=False, stream=True
        ) as response:
            body = b"".join(_limited(response.raw, url, timeout_s))
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            return Answer(response.status_code, media_type, body, _seconds(response.headers.get("Retry-After", "")))
    except (OSError, HTTPError, ValueError) as exc:  # requests' own errors are OSErrors, one of a bad URL or header a ValueError
        raise PacsUnreachable(f"{origin(url)} can't be reached: {_described(exc)}") from exc


def origin(url: str) -> str:
    """A URL without its query."""
    return url.partition("?")[0]


class _Secured(HTTPAdapter):
    """The context alone decides whom to believe: requests would add authorities of its own to it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        security: dict[str, Any] = {"ssl_context": self._context, "cert_reqs": self._context.verify_mode}
        if not self._context.check_hostname:
            security["assert_hostname"] = False
        return host, security

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing to add."""


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Else requests would look into ~/.netrc."""
    return request


def _limited(raw: Any, url: str, timeout_s: float) -> Iterable[bytes]:
    """The body as it comes: an end to a server that sends without one, or a byte at a time."""
    deadline, received = time.monotonic() + timeout_s, 0
    while chunk := raw.read1(_READ_BYTES, decode_content=True):
        received += len(chunk)
        if received > _LARGEST_ANSWER:
            raise PacsUnreachable(f"{origin(url)} answers with more than {_LARGEST_ANSWER} bytes")
        if time.monotonic() > deadline:
            raise PacsUnreachable(f"{origin(url)} takes more than {timeout_s:g} s to answer")
        yield chunk


def _seconds(retry_after: str) -> float:
    """Seconds, or a date, RFC 9110 10.2.3."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
        return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return 0.0


def _described(error: BaseException) -> str:
    """The socket's own error at the bottom of what requests and urllib3 wrap around it."""
    cause: BaseException | None = error
    for _ in range(10):  # causes can go in a circle
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException):
            return described(cause)
        cause = cause and (cause.__cause__ or cause.__context__)
    return "it takes too long" if isinstance(error, requests.Timeout) else type(error).__name__
