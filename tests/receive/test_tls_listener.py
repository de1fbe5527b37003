"""The listener over TLS: DCMTK as the sender, certificates that decide who is who, and peers that never finish their handshake."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from cad_node.deliver.echo import echo
from cad_node.deliver.messages import Context, associate_request
from cad_node.errors import AssociationRejected, PacsUnreachable, UnusableTlsFile
from cad_node.settings import Destination, ListenerTls, Peer, PeerTls
from cad_node.tls import TlsContext
from tests.certificates import Authority, Identity, new_key, put
from tests.cli.processes import running, write_config
from tests.deliver.peers import unused_port
from tests.factory import ct_study, save_study
from tests.receive import front_door
from tests.receive.front_door import ECHO, after_meta, opened_front_door, wait_until

needs_dcmtk = pytest.mark.skipif(not shutil.which("storescu"), reason="DCMTK's storescu isn't installed")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node(authority) -> Identity:
    return authority.issue("node", "localhost")


@pytest.fixture(scope="module")
def modality(authority) -> Identity:
    return authority.issue("CT1")


@pytest.fixture(scope="module")
def door(authority, node, tmp_path_factory):
    """TLS with client certificates, and a peer that is known by its certificate."""
    peers = {"ct": Peer(certificate=["CT1"], may=("store",))}
    tls = listener_tls(authority, node, handshake_timeout_s=0.5)
    with opened_front_door(tmp_path_factory.mktemp("tls") / "node", tls=tls, peers=peers, unknown_peers="reject") as opened:
        yield opened


def listener_tls(authority, identity, **settings) -> ListenerTls:
    return ListenerTls(port=0, certificate=identity.certificate, key=identity.key, authorities=authority.file, **settings)


def storescu(port: int, files: list[Path], authority: Authority, identity: Identity | None, *options: str):
    own = ["+tls", str(identity.key), str(identity.certificate)] if identity else ["+tla"]
    command = ["storescu", *own, "+cf", str(authority.file), *options, "-aec", "CAD_NODE", "localhost", str(port), *map(str, files)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def associate(port: int, settings: PeerTls):
    return front_door.associate(port, calling_ae_title="CT1", tls_args=(TlsContext(settings).current(), "localhost"))


def knock(port: int, settings: PeerTls | None) -> str:
    """Empty once C-ECHO is answered; else what was in the way."""
    try:
        echo(Destination(ae_title="CAD_NODE", host="localhost", port=port, tls=settings), "CT1", 5)
    except (PacsUnreachable, AssociationRejected) as exc:
        return str(exc)
    return ""


def trusting(authority: Authority, identity: Identity | None = None, **settings) -> PeerTls:
    own = {"certificate": identity.certificate, "key": identity.key} if identity else {}
    return PeerTls(authorities=authority.file, **own, **settings)


@needs_dcmtk
@pytest.mark.parametrize("profile", ["+px", "+py", "+pz"], ids=["BCP 195", "non-downgrading", "extended"])
def test_dcmtk_s_objects_arrive_byte_for_byte_over_tls(door, authority, modality, tmp_path, profile):
    study = ct_study(slices=3)
    files = save_study(study, tmp_path)

    sent = storescu(door.port, files, authority, modality, profile)

    assert sent.returncode == 0, sent.stderr
    for ds, file in zip(study, files, strict=True):
        assert after_meta(door.file(ds.SOPInstanceUID)) == after_meta(file)


@needs_dcmtk
def test_dcmtk_with_an_anonymous_connection_is_refused(door, authority, tmp_path):
    study = ct_study(slices=1)

    sent = storescu(door.port, save_study(study, tmp_path), authority, None)

    assert sent.returncode != 0
    assert not door.files(study[0].StudyInstanceUID)


def test_a_certificate_decides_who_a_peer_is(door, authority, modality):
    assert knock(door.port, trusting(authority, modality)) == ""
    assert "for good: calling ae title not recognised" in knock(door.port, trusting(authority, authority.issue("CT2")))


def test_a_foreign_certificate_ends_at_the_handshake(door, capsys, tmp_path, authority):
    stranger = Authority(tmp_path / "elsewhere", "Elsewhere").issue("CT1", key=new_key())

    assert knock(door.port, trusting(authority, stranger))
    wait_until(lambda: not door.scp.open_associations())
    logged = capsys.readouterr().out
    assert "tls.failed" in logged
    assert "its certificate isn't accepted" in logged


@pytest.mark.parametrize("versions", [("1.2",), ("1.3",)])
def test_both_versions_are_spoken(door, authority, modality, versions):
    assert knock(door.port, trusting(authority, modality, versions=versions)) == ""


def test_a_plain_association_request_on_the_tls_port_is_closed(door):
    assert "CAD_NODE at localhost" in knock(door.port, None)


def test_the_end_of_an_association_is_told_over_tls(door, authority, modality):
    client = TlsContext(trusting(authority, modality)).current()
    request = associate_request("CAD_NODE", "CT1", {1: Context(ECHO, "1.2.840.10008.1.2")})

    with (
        socket.create_connection(("localhost", door.port), 10) as plain,
        client.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as secured,
    ):
        secured.sendall(request)
        assert secured.recv(4096)[0] == 2  # A-ASSOCIATE-AC
        secured.sendall(bytes([5, 0, 0, 0, 0, 4, 0, 0, 0, 0]))  # A-RELEASE-RQ

        answers = [secured.recv(4096)[:1], secured.recv(4096)]

    assert answers == [bytes([6]), b""]  # A-RELEASE-RP and close_notify; an SSLEOFError without it


def test_peers_that_never_finish_their_handshake_keep_nobody_waiting_and_are_closed(door, authority, modality):
    silent = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(20)]
    for connection in silent[::2]:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01")  # a ClientHello begins

    association = associate(door.port, trusting(authority, modality))

    assert association.is_established
    association.release()
    for connection in silent:
        connection.settimeout(10)
        assert connection.recv(1) == b""
        connection.close()
    wait_until(lambda: not door.scp.open_associations())


def test_a_new_certificate_is_shown_without_a_restart(authority, modality, tmp_path):
    own = Identity(tmp_path / "own.pem", tmp_path / "own.key.pem", 0)
    put(authority.issue("first", "localhost"), own)
    successor = Authority(tmp_path / "successor", "Successor")
    with opened_front_door(tmp_path / "node", tls=listener_tls(authority, own)) as opened:
        before = associate(opened.port, trusting(authority, modality))

        put(successor.issue("second", "localhost", key=new_key()), own)
        after = [knock(opened.port, trusting(trusted, modality)) for trusted in (authority, successor)]
        own.certificate.write_text("broken")
        kept = knock(opened.port, trusting(successor, modality))

        assert before.send_c_echo().Status == 0x0000  # what is open isn't disturbed
        before.release()
    assert "its certificate isn't accepted" in after[0]
    assert [after[1], kept] == ["", ""]


def test_files_that_cannot_be_used_are_said_at_the_start(authority, node, tmp_path):
    settings = listener_tls(authority, Identity(tmp_path / "nowhere.pem", node.key, 0))

    with pytest.raises(UnusableTlsFile, match=r"nowhere\.pem: No such file"), opened_front_door(tmp_path / "node", tls=settings):
        pass


def configured(folder: Path, authority: Authority, node: Identity, scp: str) -> tuple[Path, int, int]:
    """Settings of a node with a listener over TLS; the file, its plain port and its TLS port. scp: more of [scp]."""
    port = unused_port()
    files = f'certificate = "{node.certificate}"\nkey = "{node.key}"\nauthorities = "{authority.file}"\n'
    config, plain_port = write_config(folder, f"{scp}\n[scp.tls]\nport = {port}\n{files}")
    return config, plain_port, port


def test_a_node_listens_plainly_and_over_tls_and_counts_both_together(authority, node, modality, tmp_path):
    config, plain_port, port = configured(tmp_path, authority, node, "max_associations = 1")

    with running(config, "scp") as scp:
        scp.wait_for("scp.listening", times=2)
        association = front_door.associate(plain_port)
        while_open = knock(port, trusting(authority, modality))
        association.release()
        wait_until(lambda: not knock(port, trusting(authority, modality)))

    assert "for now: local limit exceeded" in while_open


def test_a_node_without_a_plain_listener_only_listens_over_tls(authority, node, modality, tmp_path):
    config, plain_port, port = configured(tmp_path, authority, node, "plain = false")

    with running(config, "scp") as scp:
        scp.wait_for("scp.listening")
        answers = knock(plain_port, None), knock(port, trusting(authority, modality))

    assert "can't be reached: Connection refused" in answers[0]
    assert answers[1] == ""
