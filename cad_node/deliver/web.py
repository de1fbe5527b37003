"""A DICOMweb service as a client sees it: its URL, its TLS, and who the client is."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

import requests

from cad_node.deliver.bearer import Bearer
from cad_node.deliver.exchange import Answer, Body, exchange, opened_session
from cad_node.settings import PeerTls, WebAccess
from cad_node.tls import TlsContext


class WebService:
    """One service. Certificates and secrets are read anew for each session, so that they can be changed while the node runs."""

    def __init__(self, url: str, timeout_s: float, tls: PeerTls | None = None, access: WebAccess | None = None) -> None:
        """timeout_s: for the connection, and for each wait for its next bytes. tls: without it, the system's authorities are believed."""
        access = access or WebAccess()
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        self.bearer = Bearer(access, timeout_s, tls)
        self.headers = {name: value.get_secret_value() for name, value in access.headers.items()}
        self._tls = TlsContext(tls or PeerTls())

    @contextmanager
    def session(self) -> Iterator["WebSession"]:
        """Requests that share their connection. Raises PacsUnreachable."""
        with opened_session(self.url, self._tls) as connections:
            yield WebSession(self, connections)


class WebSession:
    def __init__(self, service: WebService, connections: requests.Session) -> None:
        self._service, self._connections = service, connections

    def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Raises PacsUnreachable."""
        return self._ask("GET", path, headers, None)

    def post(self, path: str, headers: Mapping[str, str], body: Body) -> Answer:
        """Raises PacsUnreachable."""
        return self._ask("POST", path, headers, body)

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: Body | None) -> Answer:
        """A token that isn't taken may have been replaced: it is fetched anew, once."""
        token = self._service.bearer.token()
        answer = self._exchange(method, path, headers, body, token)
        if answer.status == HTTPStatus.UNAUTHORIZED and token:
            another = self._service.bearer.token(refused=token)
            if another != token:
                return self._exchange(method, path, headers, body, another)
        return answer

    def _exchange(self, method: str, path: str, headers: Mapping[str, str], body: Body | None, token: str) -> Answer:
        service = self._service
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        return exchange(self._connections, method, service.url + path, service.timeout_s, {**headers, **service.headers, **bearer}, body)
