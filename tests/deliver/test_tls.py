"""Deliveries over TLS: to DCMTK, to Orthanc, and to peers that can't be trusted or don't trust us."""

import shutil
import ssl
import subprocess
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
from pydicom import dcmread

from cad_node.commitment import Reference
from cad_node.confirmation import Located
from cad_node.deliver.cstore import CStore
from cad_node.deliver.echo import echo
from cad_node.deliver.qido import ByQido
from cad_node.deliver.web import WebService
from cad_node.errors import PacsUnreachable
from cad_node.query.retrieve import Request, move
from cad_node.receive.query import Query
from cad_node.settings import Destination, ListenerTls, PeerTls
from cad_node.store.held import Held
from cad_node.tls import TlsContext
from tests.certificates import Authority, Identity, new_key, put
from tests.deliver.peers import rude_peer, unused_port
from tests.e2e.orthanc import MISSING, Orthanc
from tests.factory import ct_study, save_study
from tests.query.archive import peer_at
from tests.receive.front_door import opened_front_door
from tests.receive.made_results import make_results

LOOKED_FOR = Located("1.2", "1.2.3", Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"))

needs_dcmtk = pytest.mark.skipif(not shutil.which("storescp"), reason="DCMTK's storescp isn't installed")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pacs_identity(authority) -> Identity:
    return authority.issue("pacs", "localhost")


@pytest.fixture(scope="module")
def node(authority) -> Identity:
    return authority.issue("node")


@pytest.fixture(scope="module")
def storescp(authority, pacs_identity, tmp_path_factory):
    """DCMTK's storescp, which asks for a certificate: where it listens, and where it stores."""
    folder = tmp_path_factory.mktemp("received")
    with storescp_over_tls(authority, pacs_identity, folder) as port:
        yield port, folder


@contextmanager
def storescp_over_tls(authority, identity, folder, *options):
    port = unused_port()
    tls = ["+tls", str(identity.key), str(identity.certificate), "+cf", str(authority.file), *options]
    process = subprocess.Popen(["storescp", "-od", str(folder), "-aet", "PACS", "+B", *tls, str(port)], stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


def destination(port: int, **tls) -> Destination:
    return Destination(ae_title="PACS", host="localhost", port=port, tls=PeerTls(**tls))


def ours(authority: Authority, identity: Identity | None) -> dict[str, Path]:
    return {"authorities": authority.file} | ({"certificate": identity.certificate, "key": identity.key} if identity else {})


def listening(to: Destination, timeout_s: float = 10) -> Destination:
    """The same, once it answers."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            echo(to, "CAD_NODE", 5)
        except PacsUnreachable:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return to


@needs_dcmtk
@pytest.mark.parametrize("profile", ["bcp195", "bcp195-modified", "bcp195-nd", "bcp195-extended"])
def test_dcmtk_takes_objects_over_tls_and_knows_us(storescp, authority, node, tmp_path, profile):
    port, folder = storescp
    files = save_study(ct_study(slices=2), tmp_path)
    to = listening(destination(port, **ours(authority, node), profile=profile))

    outcomes = list(CStore(to, "CAD_NODE", 5).send(files))

    assert [outcome.delivered for outcome in outcomes] == [True, True]
    received = {path.name.partition(".")[2] for path in folder.iterdir()}
    assert received >= {dcmread(path).SOPInstanceUID for path in files}


@needs_dcmtk
def test_a_pacs_that_asks_for_a_certificate_is_not_reached_without_one(storescp, authority, node):
    port, _ = storescp
    listening(destination(port, **ours(authority, node)))

    with pytest.raises(PacsUnreachable, match=r"certificate required|closed the connection|was lost"):
        echo(destination(port, **ours(authority, None)), "CAD_NODE", 5)


@needs_dcmtk
def test_a_pacs_of_a_foreign_authority_is_not_talked_to(storescp, authority, node, tmp_path):
    port, _ = storescp
    listening(destination(port, **ours(authority, node)))
    elsewhere = Authority(tmp_path / "elsewhere", "Elsewhere")

    with pytest.raises(PacsUnreachable, match="its certificate isn't accepted: self-signed certificate in certificate chain"):
        echo(destination(port, **ours(elsewhere, None)), "CAD_NODE", 5)


@needs_dcmtk
def test_a_pacs_under_another_name_is_only_talked_to_if_the_setting_says_so(storescp, authority, node):
    port, _ = storescp
    by_address = {"ae_title": "PACS", "host": "127.0.0.1", "port": port}
    listening(destination(port, **ours(authority, node)))

    with pytest.raises(PacsUnreachable, match="IP address mismatch"):
        echo(Destination(**by_address, tls=PeerTls(**ours(authority, node))), "CAD_NODE", 5)
    echo(Destination(**by_address, tls=PeerTls(**ours(authority, node), verify_host=False)), "CAD_NODE", 5)


@needs_dcmtk
def test_a_new_certificate_of_ours_serves_the_next_association(storescp, authority, node, tmp_path):
    port, _ = storescp
    own = Identity(tmp_path / "own.pem", tmp_path / "own.key.pem", 0)
    files = save_study(ct_study(slices=1), tmp_path / "files")
    sender = CStore(
        listening(destination(port, **ours(authority, node))).model_copy(update={"tls": PeerTls(**ours(authority, own))}), "N", 5
    )
    missing = next(sender.send(files))

    put(node, own)

    assert (missing.delivered, missing.retryable) == (False, True)
    assert f"{own.certificate}: No such file or directory" in missing.reason
    assert next(sender.send(files)).delivered


def test_an_https_service_of_a_foreign_authority_is_not_asked(authority, pacs_identity, tmp_path):
    elsewhere = Authority(tmp_path / "elsewhere", "Elsewhere")
    listener = ListenerTls(certificate=pacs_identity.certificate, key=pacs_identity.key, client_certificates="none")

    with qido_service(TlsContext(listener).current()) as port:
        services = [WebService(f"https://localhost:{port}", 5, PeerTls(authorities=trusted.file)) for trusted in (authority, elsewhere)]
        ways = [ByQido(service) for service in services]

        assert not ways[0].ask("1.2", [LOOKED_FOR]).committed
        with pytest.raises(PacsUnreachable, match="its certificate isn't accepted"):
            ways[1].ask("1.2", [LOOKED_FOR])


@contextmanager
def qido_service(context: ssl.SSLContext):
    """Finds nothing, PS3.18 8.3.3."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@needs_dcmtk
def test_results_are_moved_to_a_destination_over_tls(storescp, authority, node, tmp_path):
    port, folder = storescp
    to = listening(destination(port, **ours(authority, node)))

    with opened_front_door(tmp_path / "node", services=lambda rows: [Query(Held(rows), {"pacs": to}, "CAD_NODE")]) as opened:
        made = make_results(opened.database, tmp_path / "results", "1.2.77")
        moved = move(peer_at(opened.port, "CAD_NODE"), Request("STUDY", {"StudyInstanceUID": "1.2.77"}, 0), "PACS", print, Event())

    assert (moved.status, moved.completed) == (0x0000, len(made))
    assert {path.name.partition(".")[2] for path in folder.iterdir()} >= {ds.SOPInstanceUID for ds in made}


def test_a_peer_that_does_not_speak_tls_is_unreachable(authority):
    with rude_peer(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n")) as peer:
        to = peer.model_copy(update={"tls": PeerTls(**ours(authority, None))})

        with pytest.raises(PacsUnreachable, match="makes no secure connection: TLS: wrong version number"):
            echo(to, "CAD_NODE", 5)


def test_a_peer_that_is_silent_in_the_handshake_is_given_up(authority):
    with rude_peer(lambda connection: connection.recv(1 << 20) and connection.recv(1)) as peer:
        to = peer.model_copy(update={"tls": PeerTls(**ours(authority, None))})

        with pytest.raises(PacsUnreachable, match=r"makes no secure connection: no answer within 0\.3 s"):
            echo(to, "CAD_NODE", 0.3)


@pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} isn't installed")
def test_orthanc_takes_objects_over_tls_from_whom_it_trusts(authority, node, pacs_identity, tmp_path):
    stranger = Authority(tmp_path / "elsewhere", "Elsewhere").issue("node", key=new_key())
    files = save_study(ct_study(slices=3), tmp_path / "files")
    tls = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(pacs_identity.certificate),
        "DicomTlsPrivateKey": str(pacs_identity.key),
        "DicomTlsTrustedCertificates": str(authority.file),
    }

    with Orthanc(tmp_path, unused_port(), unused_port(), unused_port(), **tls) as orthanc:
        outcomes = list(CStore(destination(orthanc.dicom_port, **ours(authority, node)), "CAD_NODE", 5).send(files))
        refused = next(CStore(destination(orthanc.dicom_port, **ours(authority, stranger)), "CAD_NODE", 5).send(files))
        stored = orthanc.get("/statistics")["CountInstances"]

    assert [outcome.delivered for outcome in outcomes] == [True] * 3
    assert stored == 3
    assert (refused.delivered, refused.retryable) == (False, True)
