"""Orthanc takes results by STOW-RS and confirms them by QIDO-RS: plainly, and over TLS with certificates on both sides."""

import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from cad_node.app.sender import transports, ways_of_confirmation
from cad_node.commitment import Reference
from cad_node.confirmation import Located
from cad_node.lifecycle import DeliveryState
from cad_node.settings import ListenerTls, Settings
from cad_node.store.database import Database
from cad_node.store.deliveries import Deliveries
from cad_node.tls import TlsContext, accept_tls
from tests.certificates import Authority, Identity
from tests.cli.processes import running
from tests.confirmable import queue_confirmable
from tests.e2e.orthanc import MISSING, Orthanc
from tests.e2e.ports import free_port
from tests.factory import ct_study, save_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: Debian's {MISSING}"),
]

CONFIG = """\
[node]
data_dir = "{folder}/node"
[database]
url = "{database_url}"
[queue]
poll_s = 0.1
[destinations.pacs]
transport = "stow"
url = "{url}"
confirm = "qido"
"""


class Pacs(NamedTuple):
    orthanc: Orthanc
    http_port: int

    @property
    def url(self) -> str:
        return f"http://localhost:{self.http_port}/dicom-web"


class Secured(NamedTuple):
    """The same Orthanc behind a proxy that asks for certificates, as hospitals have it; Debian's own HTTPS of it crashes."""

    port: int
    authority: Authority
    node: Identity

    def settings(self, **tls: Path) -> Settings:
        to = {"transport": "stow", "url": f"https://localhost:{self.port}/dicom-web", "confirm": "qido", "timeout_s": 20}
        return Settings(destinations={"pacs": to | {"tls": {"authorities": self.authority.file} | tls}})


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    http_port = free_port()
    with Orthanc(tmp_path_factory.mktemp("orthanc"), http_port, free_port(), free_port()) as orthanc:
        yield Pacs(orthanc, http_port)


@pytest.fixture(scope="module")
def secured(pacs: Pacs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    own = authority.issue("proxy", "localhost")
    context = TlsContext(ListenerTls(certificate=own.certificate, key=own.key, authorities=authority.file)).current()
    with tls_proxy(context, pacs.http_port) as port:
        yield Secured(port, authority, authority.issue("node"))


@contextmanager
def tls_proxy(context: ssl.SSLContext, behind: int) -> Iterator[int]:
    """Takes TLS connections and passes what comes on them to a plain port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with (
                suppress(OSError),
                accept_tls(self.request, context, 5) as client,
                socket.create_connection(("127.0.0.1", behind)) as server,
            ):
                back = threading.Thread(target=pass_on, args=[server, client])
                back.start()
                pass_on(client, server)
                back.join()

    class Proxy(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Proxy(("127.0.0.1", 0), Handler) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy.server_address[1]
        finally:
            proxy.shutdown()
            thread.join()


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


def test_the_sender_stores_in_orthanc_and_commits_what_it_finds_there(pacs: Pacs, database: Database, database_url: str, tmp_path: Path):
    sent = queue_confirmable(database, tmp_path / "results", "pacs")
    config = tmp_path / "node.toml"
    config.write_text(CONFIG.format(folder=tmp_path, database_url=database_url, url=pacs.url))

    with running(config, "sender"):
        deadline = time.monotonic() + 30
        while {row.state for row in Deliveries(database).list()} != {DeliveryState.COMMITTED}:
            assert time.monotonic() < deadline, [row.reason for row in Deliveries(database).list()]
            time.sleep(0.1)

    held = pacs.orthanc.get(f"/dicom-web/studies/{sent[0].StudyInstanceUID}/instances")
    assert {found["00080018"]["Value"][0] for found in held} >= {ds.SOPInstanceUID for ds in sent}


def test_orthanc_says_of_each_file_whether_it_took_it(pacs: Pacs, tmp_path: Path):
    good, broken, again = save_study(ct_study(slices=3), tmp_path)
    content = broken.read_bytes()
    broken.write_bytes(content[: content.index(b"DICM") + 400])  # the data set ends in the middle of an element
    settings = Settings(destinations={"pacs": {"transport": "stow", "url": pacs.url}})

    outcomes = list(transports(settings)["pacs"].send([good, broken, again]))
    repeated = list(transports(settings)["pacs"].send([good]))

    assert [outcome.delivered for outcome in outcomes] == [True, False, True]
    assert [outcome.delivered for outcome in repeated] == [True]


def test_certificates_on_both_sides_are_checked(secured: Secured, tmp_path: Path):
    paths = save_study(ct_study(slices=2), tmp_path)
    datasets = [dcmread(path) for path in paths]
    settings = secured.settings(certificate=secured.node.certificate, key=secured.node.key)

    outcomes = list(transports(settings)["pacs"].send(paths))
    instances = [Located(ds.StudyInstanceUID, ds.SeriesInstanceUID, Reference(ds.SOPClassUID, ds.SOPInstanceUID)) for ds in datasets]
    answer = ways_of_confirmation(settings)["pacs"].ask(generate_uid(), instances)
    unknown = list(transports(secured.settings())["pacs"].send(paths))

    assert [outcome.delivered for outcome in outcomes] == [True, True]
    assert answer.committed == {instance.reference for instance in instances}
    assert [(outcome.delivered, outcome.retryable) for outcome in unknown] == [(False, True)] * 2


def test_an_orthanc_of_a_foreign_authority_is_not_talked_to(secured: Secured, tmp_path: Path):
    elsewhere = Authority(tmp_path / "elsewhere", "Elsewhere")

    (outcome,) = transports(secured.settings(authorities=elsewhere.file))["pacs"].send(save_study(ct_study(slices=1), tmp_path))

    assert "its certificate isn't accepted" in outcome.reason
