"""DICOM over TLS by the BCP 195 profiles of PS3.15 Annex B; contexts follow their files without a restart."""

import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from socket import socket
from typing import Any

from cad_node.errors import UnusableTlsFile
from cad_node.log import get_logger
from cad_node.settings import ListenerTls, PeerTls

log = get_logger()

# OpenSSL's names of the TLS 1.2 suites. Python leaves those of TLS 1.3 to OpenSSL: AES-256-GCM, ChaCha20-Poly1305, AES-128-GCM.
# DHE needs 2048 bits or more: OpenSSL's security level 2 sees to it, as to keys and signatures.
_ECDHE_RSA = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"
_ECDHE_ECDSA = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"
_DHE_RSA = "DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256"
_CHACHA = "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
_CCM = "ECDHE-ECDSA-AES256-CCM:ECDHE-ECDSA-AES256-CCM8:ECDHE-ECDSA-AES128-CCM:ECDHE-ECDSA-AES128-CCM8"
_CIPHERS: Mapping[str, str] = {
    "bcp195": f"{_ECDHE_ECDSA}:{_ECDHE_RSA}",  # PS3.15 B.12, and RFC 9325 4.2 which it names
    "bcp195-modified": f"{_ECDHE_ECDSA}:{_ECDHE_RSA}:{_CHACHA}:{_CCM}",  # PS3.15 B.13, without its Camellia, which OpenSSL hasn't
    "bcp195-nd": f"{_ECDHE_RSA}:{_DHE_RSA}:{_ECDHE_ECDSA}",  # PS3.15 B.10 (retired), which lets stronger ones in
    "bcp195-extended": f"{_ECDHE_RSA}:{_DHE_RSA}:{_ECDHE_ECDSA}",  # PS3.15 B.11 (retired)
}
_FFDHE3072 = Path(__file__).with_name("ffdhe3072.pem")  # the group of RFC 7919 A.2
_CLIENT_CERTIFICATES = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
_EXPIRES_SOON = timedelta(days=30)
_SHORT = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C"}  # RFC 4514 3


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """Who the peer is by a certificate that one of our authorities has signed."""

    subject: str  # CN=…,O=…
    names: tuple[str, ...]  # its Common Names and Subject Alternative Names

    def matches(self, patterns: Sequence[str]) -> bool:
        """Whether one of the names is like one of the patterns, such as *.radiology.example.org; upper and lower case are alike."""
        return any(fnmatchcase(name.lower(), pattern.lower()) for name in self.names for pattern in patterns)


class TlsContext:
    """An SSL context made from files, and made anew when one of them has changed."""

    def __init__(self, settings: ListenerTls | PeerTls, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings = settings
        self._clock = clock
        self._files = [
            file for file in (settings.certificate, settings.key, settings.authorities, settings.revocations) if file is not None
        ]
        self._seen: object = None  # the state of the files when they were last read
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    def current(self) -> ssl.SSLContext:
        """The context by the files as they are now. What can't be used is logged once, and the context before it goes on being used.

        Raises UnusableTlsFile where there is none before it.
        """
        with self._lock:
            state = [_state(file) for file in self._files]
            if self._context is None or state != self._seen:
                self._renew()
                self._seen = state
            assert self._context is not None
            return self._context

    def _renew(self) -> None:
        try:
            renewed = _context(self._settings, self._clock())
        except UnusableTlsFile as exc:
            if self._context is None:
                raise
            log.error("tls.kept_as_it_was", reason=str(exc))
            return
        if self._context is not None:
            log.info("tls.renewed", files=[str(file) for file in self._files])
        self._context = renewed


def accept_tls(connection: socket, context: ssl.SSLContext, timeout_s: float) -> ssl.SSLSocket:
    """The server's side of a handshake, all of it within `timeout_s`. Raises OSError, and the connection is closed."""
    secured = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
    return _handshaken(secured, timeout_s)


def connect_tls(connection: socket, context: ssl.SSLContext, host: str, timeout_s: float) -> ssl.SSLSocket:
    """The client's side of a handshake, all of it within `timeout_s`. Raises OSError, and the connection is closed."""
    secured = context.wrap_socket(connection, server_hostname=host, do_handshake_on_connect=False)
    return _handshaken(secured, timeout_s)


def close_tls(connection: socket) -> None:
    """Close a connection; over TLS tell the peer so that nothing was cut off, without waiting for its answer."""
    if isinstance(connection, ssl.SSLSocket):
        with suppress(OSError, ValueError):
            connection.settimeout(0)
            connection.unwrap()
    connection.close()


def peer_certificate(connection: socket) -> PeerCertificate | None:
    """The peer's certificate; None if there is none that was verified."""
    decoded: Mapping[str, Any] | None = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    if not decoded:
        return None
    attributes = [attribute for relative_name in decoded["subject"] for attribute in relative_name]
    common_names = [value for name, value in attributes if name == "commonName"]
    alternative_names = [value for _, value in decoded.get("subjectAltName", ())]
    subject = ",".join(f"{_SHORT.get(name, name)}={value}" for name, value in attributes)
    return PeerCertificate(subject, (*common_names, *alternative_names))


def described(error: OSError) -> str:
    """What went wrong with a connection, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "it takes too long"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"TLS: {error.reason.lower().replace('_', ' ')}"
    return error.strerror or str(error)


def _handshaken(connection: ssl.SSLSocket, timeout_s: float) -> ssl.SSLSocket:
    try:
        connection.settimeout(timeout_s)  # OpenSSL's handshake as a whole, not each of its reads
        connection.do_handshake()
    except BaseException:
        connection.close()
        raise
    return connection


def _state(file: Path) -> tuple[int, int, int] | None:
    """What changes with a file's content, or where another takes its place."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _context(settings: ListenerTls | PeerTls, now: datetime) -> ssl.SSLContext:
    is_server = isinstance(settings, ListenerTls)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    _limit(context, settings)
    if is_server:
        context.load_dh_params(str(_FFDHE3072))
    try:
        _introduce_us(context, settings, now)
        _trust(context, settings)
    except OSError as exc:  # SSLError is one: a file that changed between check and use, or a key that is too weak
        files = ", ".join(str(file) for file in (settings.certificate, settings.key, settings.authorities) if file)
        raise UnusableTlsFile(f"{files}: {described(exc)}; check these files") from exc
    return context


def _limit(context: ssl.SSLContext, settings: ListenerTls | PeerTls) -> None:
    """Versions and cipher suites of the profile; what it says of compression is OpenSSL's and Python's default already."""
    versions = ("1.2",) if settings.profile == "bcp195-extended" else settings.versions  # B.11 lets no suite of TLS 1.3 in
    context.minimum_version = ssl.TLSVersion.TLSv1_2 if "1.2" in versions else ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3 if "1.3" in versions else ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{_CIPHERS[settings.profile]}:@SECLEVEL=2")
    context.options |= ssl.OP_NO_RENEGOTIATION  # a peer's way to keep us busy; nothing in DICOM needs it


def _introduce_us(context: ssl.SSLContext, settings: ListenerTls | PeerTls, now: datetime) -> None:
    """Our certificate, where there is one, and its key."""
    from cad_node import tls_files  # noqa: PLC0415 - it takes 12 MB that a node without TLS spares

    if settings.certificate is None or settings.key is None:
        return
    end = tls_files.certificate_end(settings.certificate, now)
    tls_files.check_key(settings.key, settings.certificate)
    context.load_cert_chain(settings.certificate, settings.key)
    if end - now < _EXPIRES_SOON:
        log.warning("tls.certificate_expires_soon", certificate=str(settings.certificate), days=(end - now).days)


def _trust(context: ssl.SSLContext, settings: ListenerTls | PeerTls) -> None:
    """Whose certificates are taken from peers."""
    from cad_node import tls_files  # noqa: PLC0415 - as above

    if isinstance(settings, ListenerTls):
        context.verify_mode = _CLIENT_CERTIFICATES[settings.client_certificates]
    else:
        context.check_hostname = settings.verify_host
    if settings.authorities is not None:
        tls_files.check_authorities(settings.authorities)
        context.load_verify_locations(settings.authorities)
    elif not isinstance(settings, ListenerTls):
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if settings.revocations is not None:
        tls_files.check_revocations(settings.revocations)
        context.load_verify_locations(settings.revocations)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
