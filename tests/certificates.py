"""Certificates made on the fly: an authority, and what it signs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path
    serial_number: int


class Authority:
    """Signs certificates and revocation lists, into files of one folder."""

    def __init__(self, folder: Path, name: str = "Hospital CA") -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._name, self._key = folder, _named(name), ec.generate_private_key(ec.SECP256R1())
        self.file = folder / "authority.pem"
        own = _begun(self._name, self._name, self._key.public_key(), 3650, -1)
        constrained = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).add_extension(
            x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True
        )
        self.file.write_bytes(constrained.sign(self._key, SHA256()).public_bytes(Encoding.PEM))

    def issue(self, name: str, *alternative_names: str, days: float = 365, begins_days: float = -1, key=None) -> Identity:
        """A certificate for `name`; `alternative_names` are DNS names. days, begins_days: its validity, from now."""
        key = key or rsa_key()
        builder = _begun(_named(name), self._name, key.public_key(), days, begins_days)
        if alternative_names:
            names = [x509.DNSName(name) for name in alternative_names]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = builder.sign(self._key, SHA256())
        files = self._folder / f"{name}.pem", self._folder / f"{name}.key.pem"
        files[0].write_bytes(signed.public_bytes(Encoding.PEM))
        files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return Identity(*files, signed.serial_number)

    def revoke(self, *serial_numbers: int) -> Path:
        """A revocation list that names these."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name).last_update(NOW).next_update(NOW + timedelta(days=7))
        for serial_number in serial_numbers:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial_number).revocation_date(NOW).build()
            builder = builder.add_revoked_certificate(revoked)
        file = self._folder / "revoked.pem"
        file.write_bytes(builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM))
        return file


def put(identity: Identity, own: Identity) -> None:
    """Put other files in the place of `own`, each whole at once."""
    for source, target in ((identity.key, own.key), (identity.certificate, own.certificate)):
        new = target.with_suffix(".new")
        new.write_bytes(source.read_bytes())
        new.rename(target)


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """One for all the certificates of a test process: they take long to make."""
    return rsa.generate_private_key(65537, 2048)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def encrypted(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Hospital"), x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _begun(subject: x509.Name, issuer: x509.Name, public_key, days: float, begins_days: float) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=begins_days))
        .not_valid_after(NOW + timedelta(days=days))
    )
