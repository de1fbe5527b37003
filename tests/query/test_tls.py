"""Queries over TLS, to an archive that asks for our certificate."""

import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt

from cad_node.errors import PacsUnreachable
from cad_node.query.association import QueryPeer
from cad_node.query.find import find
from cad_node.settings import Destination, ListenerTls, PeerTls, Source
from cad_node.tls import TlsContext
from tests.certificates import Authority, Identity
from tests.deliver.peers import rude_peer
from tests.query.archive import archive

KEYS = {"StudyInstanceUID": "1.2"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node(authority) -> Identity:
    return authority.issue("node")


@pytest.fixture(scope="module")
def secure_archive(authority):
    """Answers every query with one study."""
    pacs = authority.issue("pacs", "localhost")
    tls = TlsContext(ListenerTls(certificate=pacs.certificate, key=pacs.key, authorities=authority.file)).current()
    match = Dataset()
    match.StudyInstanceUID = "1.2"
    with archive((evt.EVT_C_FIND, lambda _: iter([(0xFF00, match), (0x0000, None)])), tls=tls) as peer:
        yield peer


def called(peer: QueryPeer | Destination, host: str = "localhost", **tls) -> QueryPeer:
    return QueryPeer.of(Source(ae_title="PACS", host=host, port=peer.port, tls=PeerTls(**tls)), "CAD_NODE", 5)


def test_a_query_is_answered_over_tls(secure_archive, authority, node):
    peer = called(secure_archive, authorities=authority.file, certificate=node.certificate, key=node.key)

    assert [ds.StudyInstanceUID for ds in find(peer, "STUDY", KEYS)] == ["1.2"]
    assert [ds.StudyInstanceUID for ds in find(peer, "STUDY", KEYS)] == ["1.2"]


def test_an_archive_of_a_foreign_authority_is_not_asked(secure_archive, tmp_path):
    elsewhere = Authority(tmp_path / "elsewhere", "Elsewhere")

    with pytest.raises(PacsUnreachable, match="makes no secure connection: its certificate isn't accepted"):
        find(called(secure_archive, authorities=elsewhere.file), "STUDY", KEYS)


def test_an_archive_under_another_name_is_not_asked(secure_archive, authority, node):
    ours = {"authorities": authority.file, "certificate": node.certificate, "key": node.key}

    with pytest.raises(PacsUnreachable, match="IP address mismatch"):
        find(called(secure_archive, "127.0.0.1", **ours), "STUDY", KEYS)
    assert find(called(secure_archive, "127.0.0.1", **ours, verify_host=False), "STUDY", KEYS)


def test_files_that_cannot_be_used_are_named(secure_archive, tmp_path):
    with pytest.raises(PacsUnreachable, match=r"authorities .*nowhere\.pem: No such file"):
        find(called(secure_archive, authorities=tmp_path / "nowhere.pem"), "STUDY", KEYS)


def test_an_archive_that_speaks_no_tls_is_unreachable(authority):
    def speak_http(connection):
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")

    with rude_peer(speak_http) as plain, pytest.raises(PacsUnreachable, match="makes no secure connection: TLS: wrong version number"):
        find(called(plain, authorities=authority.file), "STUDY", KEYS)
