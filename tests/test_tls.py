"""TLS contexts: what they agree on, what they refuse, and how they follow their files."""

import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from cad_node.errors import UnusableTlsFile
from cad_node.settings import ListenerTls, PeerTls
from cad_node.tls import TlsContext, accept_tls, close_tls, connect_tls, described, peer_certificate
from tests.certificates import NOW, Authority, Identity, encrypted, new_key, put, rsa_key


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node(authority):
    return authority.issue("node", "localhost")


@pytest.fixture(scope="module")
def modality(authority):
    return authority.issue("CT1", "ct1.radiology.example.org")


def listener(node, authority, **settings) -> ListenerTls:
    return ListenerTls(certificate=node.certificate, key=node.key, authorities=authority.file, **settings)


def peer(authority, identity=None, **settings) -> PeerTls:
    files = {"certificate": identity.certificate, "key": identity.key} if identity else {}
    return PeerTls(authorities=authority.file, **files | settings)


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host="localhost"):
    """What each side sees of the other; an error in its place where a side refuses."""
    ends = socket.socketpair()
    seen = {}

    def serve():
        try:
            with accept_tls(ends[0], server, 5) as secured:
                secured.sendall(b"!")
                seen["server"] = peer_certificate(secured)
        except OSError as exc:
            seen["server"] = exc

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with connect_tls(ends[1], client, host, 5) as secured:
            seen["client"] = (secured.version(), secured.cipher()[0]) if secured.recv(1) else EOFError()
    except OSError as exc:
        seen["client"] = exc
    thread.join()
    return seen["server"], seen["client"]


def agreed(server: ListenerTls, client: PeerTls):
    return shake_hands(TlsContext(server).current(), TlsContext(client).current())


def test_both_sides_know_each_other_by_tls_1_3(authority, node, modality):
    seen, (version, _) = agreed(listener(node, authority), peer(authority, modality))

    assert version == "TLSv1.3"
    assert seen.subject == "O=Hospital,CN=CT1"
    assert seen.names == ("CT1", "ct1.radiology.example.org")


@pytest.mark.parametrize(
    ("patterns", "fits"),
    [
        (["CT1"], True),
        (["ct?"], True),
        (["*.radiology.example.org"], True),
        (["*.cardiology.example.org", "CT2"], False),
        (["radiology.example.org"], False),
        ([], False),
    ],
)
def test_a_certificate_is_known_by_its_names(authority, node, modality, patterns, fits):
    seen, _ = agreed(listener(node, authority), peer(authority, modality))

    assert seen.matches(patterns) is fits


@pytest.mark.parametrize(
    ("profile", "suites"),
    [
        ("bcp195", {"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"}),
        ("bcp195-modified", {"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"}),
        *[
            (
                profile,
                {
                    "ECDHE-RSA-AES256-GCM-SHA384",
                    "ECDHE-RSA-AES128-GCM-SHA256",
                    "DHE-RSA-AES256-GCM-SHA384",
                    "DHE-RSA-AES128-GCM-SHA256",
                },
            )
            for profile in ("bcp195-nd", "bcp195-extended")
        ],
    ],
)
def test_a_profile_takes_its_cipher_suites_and_no_other(authority, node, profile, suites):
    server = TlsContext(listener(node, authority, profile=profile, client_certificates="none")).current()
    client = TlsContext(peer(authority)).current()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ALL")
    offered = [cipher["name"] for cipher in client.get_ciphers() if cipher["protocol"] != "TLSv1.3" and "RSA" in cipher["name"]]

    taken = set()
    for suite in {*offered, "ECDHE-RSA-AES256-SHA384", "AES256-GCM-SHA384", "DHE-RSA-AES256-SHA256"}:
        client.set_ciphers(suite)
        with suppress(TypeError):  # an error in its place
            taken.add(shake_hands(server, client)[1][1])

    assert taken == suites


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_of_tls_are_refused(authority, node, version):
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.minimum_version = client.maximum_version = version
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.load_verify_locations(authority.file)

    server_error, client_error = shake_hands(TlsContext(listener(node, authority, client_certificates="none")).current(), client)

    assert (server_error.reason, client_error.reason) == ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION")


@pytest.mark.parametrize(
    ("server", "client", "version"),
    [
        ({"versions": ("1.2",)}, {}, "TLSv1.2"),
        ({}, {"versions": ("1.2",)}, "TLSv1.2"),
        ({"versions": ("1.3",)}, {}, "TLSv1.3"),
        ({"profile": "bcp195-extended"}, {}, "TLSv1.2"),
    ],
)
def test_versions_are_those_of_the_settings(authority, node, server, client, version):
    _, (spoken, _) = agreed(listener(node, authority, client_certificates="none", **server), peer(authority, **client))

    assert spoken == version


def test_versions_that_have_nothing_in_common_part(authority, node, modality):
    _, error = agreed(listener(node, authority, versions=("1.3",)), peer(authority, modality, versions=("1.2",)))

    assert described(error) == "TLS: tlsv1 alert protocol version"


def test_a_client_without_a_certificate_is_refused_where_one_is_required(authority, node):
    refusal, error = agreed(listener(node, authority), peer(authority))

    assert refusal.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    assert described(error) == "TLS: tlsv13 alert certificate required"


def test_a_client_without_a_certificate_is_nobody_where_one_is_optional(authority, node, modality):
    optional = listener(node, authority, client_certificates="optional")

    seen = [agreed(optional, peer(authority))[0], agreed(optional, peer(authority, modality))[0]]

    assert seen[0] is None
    assert seen[1].names[0] == "CT1"


def test_a_certificate_of_a_foreign_authority_is_refused(authority, node, tmp_path):
    stranger = Authority(tmp_path / "elsewhere", "Elsewhere").issue("CT1")

    for client_certificates in ("required", "optional"):
        refusal, _ = agreed(listener(node, authority, client_certificates=client_certificates), peer(authority, stranger))

        assert "its certificate isn't accepted" in described(refusal)


def test_a_client_certificate_that_has_expired_is_refused(authority, node, tmp_path):
    old = authority.issue("OLD", days=-1, begins_days=-2)
    client = TlsContext(peer(authority, old), clock=lambda: NOW - timedelta(days=1.5)).current()

    refusal, _ = shake_hands(TlsContext(listener(node, authority)).current(), client)

    assert described(refusal) == "its certificate isn't accepted: certificate has expired"


def test_a_revoked_certificate_is_refused_and_another_is_not(authority, node, modality):
    stolen = authority.issue("STOLEN")
    server = listener(node, authority, revocations=authority.revoke(stolen.serial_number))

    refusal, seen = agreed(server, peer(authority, stolen))[0], agreed(server, peer(authority, modality))[0]

    assert described(refusal) == "its certificate isn't accepted: certificate revoked"
    assert seen.names[0] == "CT1"


def test_a_server_must_be_who_was_called_unless_the_setting_says_otherwise(authority, node, modality):
    server = TlsContext(listener(node, authority)).current()

    _, error = shake_hands(server, TlsContext(peer(authority, modality)).current(), "pacs.example.org")
    _, talk = shake_hands(server, TlsContext(peer(authority, modality, verify_host=False)).current(), "pacs.example.org")

    assert "Hostname mismatch" in described(error)
    assert talk[0] == "TLSv1.3"


def test_a_server_of_a_foreign_authority_is_never_trusted(authority, tmp_path):
    elsewhere = Authority(tmp_path / "elsewhere", "Elsewhere")
    server = TlsContext(listener(elsewhere.issue("node", "localhost"), elsewhere, client_certificates="none")).current()

    for settings in (peer(authority), peer(authority, verify_host=False), PeerTls()):
        _, error = shake_hands(server, TlsContext(settings).current())

        assert isinstance(error, ssl.SSLCertVerificationError)


def test_a_new_certificate_is_shown_from_the_next_connection_on(authority, modality, tmp_path):
    own = copied(authority.issue("first", "localhost"), tmp_path)
    served = TlsContext(listener(own, authority))
    client = TlsContext(peer(authority, modality)).current()
    before, unchanged = served.current(), served.current()

    put(authority.issue("second", "localhost", key=new_key()), own)

    assert before is unchanged
    assert shown_by(served.current(), client) == "second"
    assert shown_by(before, client) == "first"


def test_a_new_authority_is_trusted_from_the_next_connection_on(authority, node, tmp_path):
    successor = Authority(tmp_path / "successor", "Successor")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.file.read_bytes())
    served = TlsContext(ListenerTls(certificate=node.certificate, key=node.key, authorities=bundle))
    client = TlsContext(PeerTls(authorities=authority.file, certificate=successor.issue("CT2").certificate, key=successor.issue("CT2").key))
    before = shake_hands(served.current(), client.current())[0]

    bundle.write_bytes(authority.file.read_bytes() + successor.file.read_bytes())

    assert isinstance(before, ssl.SSLCertVerificationError)
    assert shake_hands(served.current(), client.current())[0].names[0] == "CT2"


@pytest.mark.parametrize("broken", ["", "-----BEGIN CERTIFICATE-----\nMII", None])
def test_a_broken_new_file_is_named_once_and_the_old_certificate_stays(authority, modality, tmp_path, capsys, broken):
    own = copied(authority.issue("first", "localhost"), tmp_path)
    served = TlsContext(listener(own, authority))
    before = served.current()
    if broken is None:
        own.certificate.unlink()
    else:
        own.certificate.write_text(broken)

    kept = [served.current() for _ in range(3)]

    assert kept == [before] * 3
    logged = capsys.readouterr().out
    assert logged.count("tls.kept_as_it_was") == 1
    assert str(own.certificate) in logged


def test_the_next_whole_file_after_a_broken_one_is_used(authority, modality, tmp_path):
    own = copied(authority.issue("first", "localhost"), tmp_path)
    served = TlsContext(listener(own, authority))
    served.current()
    own.certificate.write_text("half")
    served.current()

    put(authority.issue("second", "localhost", key=new_key()), own)

    assert shown_by(served.current(), TlsContext(peer(authority, modality)).current()) == "second"


@pytest.mark.parametrize(
    ("spoil", "named", "said"),
    [
        (lambda own, other: own.certificate.unlink(), "certificate", "No such file or directory; name a PEM file"),
        (lambda own, other: own.certificate.write_bytes(b"\x30\x82"), "certificate", "holds no PEM certificate"),
        (lambda own, other: own.key.write_text("no key"), "key", "holds no PEM private key"),
        (lambda own, other: own.key.write_bytes(encrypted(rsa_key())), "key", "is encrypted"),
        (lambda own, other: own.key.write_bytes(other.key.read_bytes()), "key", "isn't the key of certificate"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_to_do(authority, tmp_path, spoil, named, said):
    own, other = copied(authority.issue("own"), tmp_path), authority.issue("other", key=new_key())
    spoil(own, other)

    with pytest.raises(UnusableTlsFile) as error:
        TlsContext(listener(own, authority)).current()

    assert str(error.value).startswith(f"{named} {getattr(own, named)}: ")
    assert said in str(error.value)


@pytest.mark.parametrize("days", [-1, 400])
def test_our_certificate_is_refused_outside_its_validity(authority, node, days):
    served = TlsContext(listener(node, authority), clock=lambda: NOW + timedelta(days=days, hours=-1))

    with pytest.raises(UnusableTlsFile, match=r"not valid before|expired on"):
        served.current()


def test_a_certificate_that_ends_soon_is_announced(authority, node, capsys):
    TlsContext(listener(node, authority), clock=lambda: NOW + timedelta(days=345)).current()

    assert "tls.certificate_expires_soon" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["authorities", "revocations"])
def test_authorities_and_revocations_are_checked_as_well(authority, node, tmp_path, key):
    empty = tmp_path / "empty.pem"
    empty.touch()

    with pytest.raises(UnusableTlsFile, match=f"{key} {empty}: holds no PEM"):
        TlsContext(ListenerTls(certificate=node.certificate, key=node.key, **{"authorities": authority.file, key: empty})).current()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"client_certificates": "required"}, "authorities"),
        ({"client_certificates": "none", "profile": "bcp195-extended", "versions": ("1.3",)}, "TLS 1.2"),
        ({"client_certificates": "none", "versions": ("1.1",)}, "1.2"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        ListenerTls(certificate=Path("a"), key=Path("b"), **settings)


def test_a_handshake_ends_in_time_however_slowly_the_peer_writes(authority, node):
    server = TlsContext(listener(node, authority)).current()
    ends = socket.socketpair()
    stopped = threading.Event()

    with drip(ends[1], b"\x16\x03\x01\x00\x10" + bytes(16), 0.05, stopped), pytest.raises(TimeoutError):  # an SSLError at its end
        accept_tls(ends[0], server, 0.4)

    assert ends[0].fileno() == -1


def test_an_end_over_tls_is_told_to_the_peer(authority, node):
    ends = socket.socketpair()
    server = TlsContext(listener(node, authority, client_certificates="none")).current()
    accepted = []
    thread = threading.Thread(target=lambda: accepted.append(accept_tls(ends[0], server, 5)))
    thread.start()
    client = TlsContext(peer(authority)).current()
    secured = client.wrap_socket(ends[1], server_hostname="localhost", suppress_ragged_eofs=False)
    thread.join()

    close_tls(accepted[0])

    assert secured.recv(1) == b""  # SSLEOFError without the notification
    secured.close()


def copied(identity, folder):
    own = Identity(folder / "own.pem", folder / "own.key.pem", identity.serial_number)
    put(identity, own)
    return own


def shown_by(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    ends = socket.socketpair()
    thread = threading.Thread(target=lambda: accept_tls(ends[0], server, 5).close())
    thread.start()
    with connect_tls(ends[1], client, "localhost", 5) as secured:
        name = peer_certificate(secured).names[0]
    thread.join()
    return name


@contextmanager
def drip(connection: socket.socket, content: bytes, every_s: float, stopped: threading.Event):
    """Writes one byte at a time."""

    def write():
        for byte in content:
            if stopped.wait(every_s):
                return
            with suppress(OSError):
                connection.send(bytes([byte]))

    thread = threading.Thread(target=write)
    thread.start()
    yield
    stopped.set()
    thread.join()
    connection.close()
