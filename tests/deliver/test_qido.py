"""QIDO-RS against a server that answers as PACS do, well and badly."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from cad_node.commitment import Reference
from cad_node.confirmation import Located, NotAnswered
from cad_node.deliver.qido import ByQido
from cad_node.deliver.web import WebService
from cad_node.errors import PacsUnreachable
from tests.deliver.peers import unused_port

SEG, SR = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34"
HELD, MISSING = (Located("1.2", "1.2.1", Reference(SEG, f"1.2.1.{number}")) for number in (1, 2))


def matches(sop_class_uid=SEG) -> bytes:
    match = {
        "00080016": {"vr": "UI", "Value": [sop_class_uid]},
        "00080018": {"vr": "UI", "Value": [HELD.reference.sop_instance_uid]},
    }
    return json.dumps([match]).encode()


@contextmanager
def served(status: int, body: bytes = b""):
    """The URL of a DICOMweb service that answers every query so, and the paths that it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(urlsplit(self.path))
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/dicom-web", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_is_found_is_kept_and_the_rest_is_looked_for_again():
    with served(200, matches()) as (url, asked):
        answer = ByQido(WebService(url, 5)).ask("2.25.1", [HELD, MISSING])

    assert (answer.committed, dict(answer.failed), answer.reports_later) == ({HELD.reference}, {}, False)
    assert asked[0].path == "/dicom-web/instances"
    assert parse_qs(asked[0].query)["SOPInstanceUID"] == ["1.2.1.1"]
    assert parse_qs(asked[0].query)["StudyInstanceUID"] == ["1.2"]


@pytest.mark.parametrize(
    ("status", "body"), [(204, b""), (200, b"[]"), (200, matches(SR))], ids=["no content", "no match", "another class"]
)
def test_what_is_not_found_is_not_kept(status, body):
    with served(status, body) as (url, _):
        answer = ByQido(WebService(url + "/", 5)).ask("2.25.1", [HELD])

    assert answer.committed == set()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [(500, b"", "500"), (401, b"", "401"), (200, b"<html>", "DICOM JSON"), (200, b'[{"00080018": {}}]', "DICOM JSON")],
)
def test_an_answer_that_says_nothing_is_not_taken_for_no(status, body, said):
    with served(status, body) as (url, _), pytest.raises(NotAnswered, match=said):
        ByQido(WebService(url, 5)).ask("2.25.1", [HELD])


def test_a_service_that_is_away_is_unreachable():
    with pytest.raises(PacsUnreachable):
        ByQido(WebService(f"http://127.0.0.1:{unused_port()}", 1)).ask("2.25.1", [HELD])
