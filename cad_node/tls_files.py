"""Certificates, keys and authorities in PEM files, checked so that what is wrong is said by file before OpenSSL meets it."""

from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from cad_node.errors import UnusableTlsFile


def certificate_end(file: Path, now: datetime) -> datetime:
    """When our certificate, the first in `file`, stops being valid. Raises UnusableTlsFile if it isn't valid now."""
    own, *_ = _certificates(file)
    begin, end = own.not_valid_before_utc, own.not_valid_after_utc
    if now < begin:
        raise UnusableTlsFile(f"certificate {file}: not valid before {begin:%Y-%m-%d %H:%M} UTC; check this machine's clock")
    if now > end:
        raise UnusableTlsFile(f"certificate {file}: expired on {end:%Y-%m-%d %H:%M} UTC; put a new one in its place")
    return end


def check_key(file: Path, certificate: Path) -> None:
    """Raises UnusableTlsFile if `file` doesn't hold the key of the first certificate in `certificate`."""
    own, *_ = _certificates(certificate)
    try:
        public = load_pem_private_key(_read(file, "key"), password=None).public_key()
    except TypeError as exc:
        decrypt = f"openssl pkey -in {file.name} -out NEW_FILE"
        raise UnusableTlsFile(f"key {file}: is encrypted, and nobody can be asked for its password; decrypt it with {decrypt}") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise UnusableTlsFile(f"key {file}: holds no PEM private key that can be used; export it as PKCS #8 in PEM") from exc
    if _encoded(public) != _encoded(own.public_key()):
        raise UnusableTlsFile(f"key {file}: isn't the key of certificate {certificate}; name the two that were made together")


def check_authorities(file: Path) -> None:
    """Raises UnusableTlsFile if `file` holds no certificates."""
    _certificates(file, "authorities")


def check_revocations(file: Path) -> None:
    """Raises UnusableTlsFile if `file` doesn't begin with a certificate revocation list."""
    try:
        x509.load_pem_x509_crl(_read(file, "revocations"))
    except ValueError as exc:
        raise UnusableTlsFile(f"revocations {file}: holds no PEM revocation list; convert it with openssl crl -inform DER") from exc


def _certificates(file: Path, what: str = "certificate") -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(file, what))
    except ValueError as exc:
        raise UnusableTlsFile(f"{what} {file}: holds no PEM certificate; convert it with openssl x509 -inform DER") from exc


def _read(file: Path, what: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as exc:
        raise UnusableTlsFile(f"{what} {file}: {exc.strerror}; name a PEM file that this process may read") from exc


def _encoded(public_key: object) -> bytes:
    assert hasattr(public_key, "public_bytes")
    encoded: bytes = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded
