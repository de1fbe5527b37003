"""STOW-RS to services that take, refuse in every way there is, stall, or hang up."""

import socket
import threading
import time
import tracemalloc

import pytest

from cad_node.deliver.stow import Stow
from cad_node.deliver.web import WebService
from tests.deliver.dicomweb import Asked, Says, dicomweb, told
from tests.deliver.peers import unused_port
from tests.factory import ct_study, save_study

DELIVERED, LATER, NEVER = (True, False), (False, True), (False, False)
PLENTY = 1e9


@pytest.fixture
def files(tmp_path):
    return save_study(ct_study(slices=4), tmp_path / "files")


def send(url, paths, max_request_bytes=PLENTY, timeout_s=5.0):
    return list(Stow(WebService(url, timeout_s), max_request_bytes).send(paths))


def verdicts(outcomes):
    return [(outcome.delivered, outcome.retryable) for outcome in outcomes]


def takes_all(asked: Asked) -> Says:
    return Says(200, told(asked.instances))


def test_files_arrive_byte_for_byte_in_one_request_of_known_length(files):
    with dicomweb(takes_all) as service:
        outcomes = send(service.url, files)

    (asked,) = service.asked
    assert verdicts(outcomes) == [DELIVERED] * 4
    assert (asked.method, asked.path) == ("POST", "/dicom-web/studies")
    assert asked.parts == [path.read_bytes() for path in files]
    assert asked.headers["Content-Type"].startswith('multipart/related; type="application/dicom"; boundary=')
    assert asked.headers["Accept"].startswith("application/dicom+json")
    assert int(asked.headers["Content-Length"]) == len(asked.body)


def test_a_request_holds_no_more_than_its_limit_and_a_file_above_it_goes_alone(files):
    size_bytes = files[0].stat().st_size

    with dicomweb(takes_all) as service:
        in_pairs = send(service.url, files, max_request_bytes=2.5 * size_bytes)
        alone = send(service.url, files[:2], max_request_bytes=1)

    assert verdicts(in_pairs + alone) == [DELIVERED] * 6
    assert [len(request) for request in service.stored] == [2, 2, 1, 1]


def test_requests_of_one_call_share_a_connection(files):
    ports = set()

    def note(asked: Asked) -> Says:
        ports.add(threading.get_ident())  # the server has a thread for each connection
        return takes_all(asked)

    with dicomweb(note) as service:
        send(service.url, files, max_request_bytes=1)

    assert len(service.asked) == 4
    assert len(ports) == 1


def test_a_large_file_is_streamed_and_never_whole_in_memory(files):
    with files[0].open("r+b") as file:
        file.truncate(30_000_000)  # sparse
    listener = socket.create_server(("127.0.0.1", 0))
    received = []

    def swallow():
        connection, _ = listener.accept()
        buffer = bytearray(1 << 20)
        while sum(received) < 30_000_000:
            received.append(connection.recv_into(buffer))
        connection.close()

    thread = threading.Thread(target=swallow)
    thread.start()
    tracemalloc.start()
    send(f"http://127.0.0.1:{listener.getsockname()[1]}", files[:1])
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    thread.join()
    listener.close()

    assert sum(received) >= 30_000_000
    assert peak_bytes < 4_000_000


def test_each_instance_has_its_own_outcome(files):
    def one_of_each(asked: Asked) -> Says:
        stored, busy, refused, unsupported = asked.instances
        return Says(202, told([stored], {busy: 0xA700, refused: 0xA900, unsupported: 0x0122}))

    with dicomweb(one_of_each) as service:
        outcomes = send(service.url, files)

    assert verdicts(outcomes) == [DELIVERED, LATER, NEVER, NEVER]
    assert [outcome.unsupported for outcome in outcomes] == [False, False, False, True]
    assert [outcome.reason for outcome in outcomes] == [
        "0x0000 success",
        "0xA700 out of resources",
        "0xA900 dataset doesn't match SOP class",
        "0x0122 SOP class not supported",
    ]


def test_a_transfer_syntax_that_is_not_supported_counts_as_an_object_that_is_not(files):
    with dicomweb(lambda asked: Says(409, told([], {asked.instances[0]: 0xC122}))) as service:
        (outcome,) = send(service.url, files[:1])

    assert (outcome.delivered, outcome.retryable, outcome.unsupported) == (False, False, True)


@pytest.mark.parametrize("reason", [0x0111, 0xB00E])
def test_what_the_service_has_already_is_delivered(files, reason):
    with dicomweb(lambda asked: Says(409, told([], {asked.instances[0]: reason}))) as service:
        (outcome,) = send(service.url, files[:1])

    assert (outcome.delivered, outcome.reason) == (True, f"0x{reason:04X} it has this instance already")


def test_a_failure_whose_reason_means_success_elsewhere_is_none_the_less_one(files):
    with dicomweb(lambda asked: Says(202, told([], {asked.instances[0]: 0xB006}))) as service:
        (outcome,) = send(service.url, files[:1])

    assert (outcome.delivered, outcome.retryable) == (False, True)


def test_a_warning_is_delivered_and_said(files):
    def warn(asked: Asked) -> Says:
        body = told(asked.instances).replace(b'"}', b'"}', 1)
        return Says(202, body.replace(b"]}}", b']}, "00081196": {"vr": "US", "Value": [45056]}}', 1))

    with dicomweb(warn) as service:
        (outcome,) = send(service.url, files[:1])

    assert (outcome.delivered, outcome.reason) == (True, "0xB000 coercion of data elements")


def test_an_answer_in_xml_is_understood_too(files):
    def in_xml(asked: Asked) -> Says:
        stored, refused = asked.instances
        body = f"""<?xml version="1.0" encoding="UTF-8"?><NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">
          <DicomAttribute tag="00081198" vr="SQ" keyword="FailedSOPSequence"><Item number="1">
            <DicomAttribute tag="00081155" vr="UI"><Value number="1">{refused}</Value></DicomAttribute>
            <DicomAttribute tag="00081197" vr="US"><Value number="1">290</Value></DicomAttribute></Item></DicomAttribute>
          <DicomAttribute tag="00081199" vr="SQ"><Item number="1">
            <DicomAttribute tag="00081155" vr="UI"><Value number="1">{stored}</Value></DicomAttribute></Item></DicomAttribute>
        </NativeDicomModel>"""
        return Says(202, body.encode(), "application/dicom+xml")

    with dicomweb(in_xml) as service:
        outcomes = send(service.url, files[:2])

    assert verdicts(outcomes) == [DELIVERED, NEVER]
    assert outcomes[1].unsupported


BOMB = b'<!DOCTYPE lol [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><NativeDicomModel>&b;</NativeDicomModel>'


@pytest.mark.parametrize(
    ("body", "media_type"),
    [(b"<html>", "text/html"), (b"{", "application/dicom+json"), (b'{"00081199": 3}', "application/dicom+json"), (BOMB, "text/xml")],
)
def test_an_answer_that_can_not_be_read_goes_by_its_status(files, body, media_type):
    statuses = iter([200, 202, 409])

    with dicomweb(lambda _: Says(next(statuses), body, media_type)) as service:
        outcomes = [send(service.url, files[:1])[0] for _ in range(3)]

    assert verdicts(outcomes) == [DELIVERED, LATER, NEVER]


def test_an_instance_that_an_answer_passes_over_is_sent_again(files):
    with dicomweb(lambda asked: Says(200, told(asked.instances[:1]))) as service:
        outcomes = send(service.url, files[:2])

    assert verdicts(outcomes) == [DELIVERED, LATER]
    assert "doesn't say whether it was stored" in outcomes[1].reason


@pytest.mark.parametrize("status", [400, 409, 413, 415])
def test_where_one_file_spoils_a_request_each_goes_alone_and_only_that_one_fails(files, status):
    spoilt = []

    def particular(asked: Asked) -> Says:
        spoilt[:] = spoilt or [asked.instances[1]]
        return Says(status) if spoilt[0] in asked.instances else takes_all(asked)

    with dicomweb(particular) as service:
        outcomes = send(service.url, files)

    assert verdicts(outcomes) == [DELIVERED, NEVER, DELIVERED, DELIVERED]
    assert outcomes[1].reason.startswith(f"HTTP {status} ")
    assert [len(request) for request in service.stored] == [4, 1, 1, 1, 1]


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 429, 500, 503, 599])
def test_trouble_of_the_service_may_pass_and_the_rest_is_not_tried(files, status):
    with dicomweb(lambda _: Says(status, headers={"Location": "/elsewhere"})) as service:
        outcomes = send(service.url, files, max_request_bytes=1)

    assert verdicts(outcomes) == [LATER] * 4
    assert {outcome.reason.partition(" ")[0] for outcome in outcomes} == {"HTTP"}
    assert len(service.asked) == 1


@pytest.mark.parametrize(("status", "key"), [(401, "token"), (403, "token"), (404, "url")])
def test_a_service_that_does_not_know_us_or_is_not_there_says_which_key_to_look_at(files, status, key):
    with dicomweb(lambda _: Says(status)) as service:
        (outcome,) = send(service.url, files[:1])

    assert "; check " in outcome.reason
    assert key in outcome.reason


@pytest.mark.parametrize(
    ("retry_after", "least_s", "most_s"),
    [("120", 120, 120), ("Fri, 31 Dec 2100 23:59:59 GMT", 1e9, 1e10), ("Thu, 01 Jan 1970 00:00:00 GMT", 0, 0), ("soon", 0, 0), ("", 0, 0)],
)
def test_how_long_a_busy_service_wants_to_be_left_alone_is_heeded(files, retry_after, least_s, most_s):
    with dicomweb(lambda _: Says(503, headers={"Retry-After": retry_after})) as service:
        (outcome,) = send(service.url, files[:1])

    assert least_s <= outcome.wait_s <= most_s


def test_a_service_that_stalls_is_given_up_in_time(files):
    hung_up = threading.Event()

    with dicomweb(lambda _: hung_up.wait(10) and None) as service:
        started = time.monotonic()
        outcomes = send(service.url, files[:2], max_request_bytes=1, timeout_s=0.3)
        took_s = time.monotonic() - started
        hung_up.set()

    assert verdicts(outcomes) == [LATER, LATER]
    assert outcomes[0].reason == f"{service.url}/studies can't be reached: it takes too long"
    assert took_s < 5


def test_a_service_that_dribbles_its_answer_is_given_up_in_time(files):
    listener = socket.create_server(("127.0.0.1", 0))

    def dribble():
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            try:
                connection.sendall(b" ")
            except OSError:
                break
            time.sleep(0.02)
        connection.close()

    thread = threading.Thread(target=dribble)
    thread.start()
    outcomes = send(f"http://127.0.0.1:{listener.getsockname()[1]}", files[:1], timeout_s=0.3)
    thread.join()
    listener.close()

    assert verdicts(outcomes) == [LATER]
    assert "takes more than 0.3 s to answer" in outcomes[0].reason


def test_an_answer_without_end_is_cut_off(files):
    with dicomweb(lambda _: Says(200, b" " * 5_000_000)) as service:
        outcomes = send(service.url, files[:1])

    assert verdicts(outcomes) == [LATER]
    assert "answers with more than" in outcomes[0].reason


@pytest.mark.parametrize(
    "behave", [lambda _: None, lambda _: Says(200, headers={"Content-Length": "999"})], ids=["no answer", "half of it"]
)
def test_a_dropped_connection_may_pass(files, behave):
    with dicomweb(behave) as service:
        outcomes = send(service.url, files, max_request_bytes=1, timeout_s=1)

    assert verdicts(outcomes) == [LATER] * 4
    assert len(service.asked) == 1


def test_a_file_that_goes_while_others_are_sent_costs_them_nothing(files):
    def takes_and_removes(asked: Asked) -> Says:
        files[2].unlink(missing_ok=True)
        return takes_all(asked)

    with dicomweb(takes_and_removes) as service:
        outcomes = send(service.url, files, max_request_bytes=2.5 * files[0].stat().st_size)

    assert verdicts(outcomes) == [DELIVERED, DELIVERED, NEVER, DELIVERED]
    assert outcomes[2].reason == "0003.dcm can't be read: No such file or directory"


def test_a_file_that_is_cut_short_on_the_way_is_no_trouble_of_the_service(files):
    def takes_and_cuts(asked: Asked) -> Says:
        with files[1].open("r+b") as file:
            file.truncate(1000)
        return takes_all(asked)

    with dicomweb(takes_and_cuts) as service:
        outcomes = send(service.url, files[:3], max_request_bytes=1)

    assert verdicts(outcomes) == [DELIVERED, LATER, DELIVERED]
    assert outcomes[1].reason == "0002.dcm has been cut short while it was sent"


def test_nobody_listening_is_said_by_its_url_without_what_was_asked(files):
    port = unused_port()

    outcomes = send(f"http://127.0.0.1:{port}/dicom-web", files[:2])

    assert verdicts(outcomes) == [LATER, LATER]
    assert outcomes[0].reason == f"http://127.0.0.1:{port}/dicom-web/studies can't be reached: Connection refused"


def test_nothing_is_sent_beyond_the_request_that_is_asked_for(files):
    with dicomweb(takes_all) as service:
        outcomes = Stow(WebService(service.url, 5), 1).send(files)
        next(outcomes)
        outcomes.close()

    assert len(service.asked) == 1
