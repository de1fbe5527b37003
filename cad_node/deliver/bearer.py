"""Bearer tokens, RFC 6750: as they are configured, from a file, or by OAuth2 client credentials, RFC 6749 4.4."""

import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from pydantic import SecretStr

from cad_node.deliver.exchange import exchange, opened_session
from cad_node.errors import PacsUnreachable
from cad_node.settings import OAuth2, PeerTls, WebAccess
from cad_node.tls import TlsContext

_EARLY_S = 30  # so long before its end a token is replaced: a request has its time to arrive
_LIFETIME_S = 300  # of a token whose server doesn't say


class _Granted(NamedTuple):
    token: str
    until: float  # by the clock


class Bearer:
    """The token for one service; its threads share it."""

    def __init__(self, access: WebAccess, timeout_s: float, tls: PeerTls | None, clock: Callable[[], float] = time.monotonic) -> None:
        """tls: as to the service."""
        self._access, self._timeout_s, self._clock = access, timeout_s, clock
        self._tls = TlsContext((access.oauth2.tls if access.oauth2 else None) or tls or PeerTls())
        self._granted: _Granted | None = None
        self._lock = threading.Lock()

    def token(self, refused: str = "") -> str:
        """The token to send; empty: none is configured. refused: one that the service doesn't take, so that it isn't given again.

        Raises PacsUnreachable where it can't be had.
        """
        if self._access.oauth2:
            with self._lock:
                return self._by_oauth2(self._access.oauth2, refused)
        return _secret(self._access.token, self._access.token_file)

    def _by_oauth2(self, client: OAuth2, refused: str) -> str:
        granted = self._granted
        if granted is None or granted.token == refused or self._clock() >= granted.until:
            granted = self._granted = self._ask(client)
        return granted.token

    def _ask(self, client: OAuth2) -> _Granted:
        asked_at = self._clock()
        identity = f"{quote(client.client_id, safe='')}:{quote(_secret(client.client_secret, client.client_secret_file), safe='')}"
        headers = {"Authorization": f"Basic {b64encode(identity.encode()).decode()}", "Accept": "application/json"}  # RFC 6749 2.3.1
        form = {"grant_type": "client_credentials"} | ({"scope": client.scope} if client.scope else {})
        with opened_session(client.token_url, self._tls) as session:
            answer = exchange(session, "POST", client.token_url, self._timeout_s, headers, form)
        told = _object(answer.body)
        token, lifetime_s = told.get("access_token"), told.get("expires_in", _LIFETIME_S)
        if answer.status != 200 or not isinstance(token, str) or not token:
            why = f" {told['error']}" if isinstance(told.get("error"), str) else ""  # RFC 6749 5.2
            raise PacsUnreachable(f"{client.token_url} gives no token: {answer}{why}; check client_id, its secret and scope")
        return _Granted(token, asked_at + max(0.0, _number(lifetime_s) - _EARLY_S))


def _secret(value: SecretStr | None, file: Path | None) -> str:
    """What is configured, or the file's content as it is now."""
    if file is None:
        return value.get_secret_value() if value else ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        why = getattr(exc, "strerror", None) or "it isn't text"
        raise PacsUnreachable(f"{file}, which is to hold a secret, can't be read: {why}") from exc


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _number(value: Any) -> float:
    """Some servers send expires_in as a string."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return _LIFETIME_S
