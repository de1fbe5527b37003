"""Peers that say nothing, stop half-way or dawdle are cut, and keep nobody else waiting."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.presentation import build_context

from cad_node.deliver.messages import Context, associate_request, c_echo_request, c_store_request, read_acceptance
from tests.factory import ct_study
from tests.receive.front_door import ECHO, encoded, opened_front_door, wait_until

CT, VERIFICATION = Context(CTImageStorage, ExplicitVRLittleEndian), Context(ECHO, "1.2.840.10008.1.2")
REQUEST = associate_request("CAD_NODE", "SLOW", {1: CT, 3: VERIFICATION})
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
C_FIND_REQUEST = b"".join(
    struct.pack("<HHL", 0, element, len(value)) + value
    for element, value in [
        (0x0002, FIND.encode() + b"\0"),
        (0x0100, b"\x20\0"),
        (0x0110, b"\1\0"),
        (0x0700, b"\2\0"),
        (0x0800, b"\0\0"),
    ]
)  # PS3.7 9.3.2.1
ABORT = 7  # PDU type, PS3.8 9.3.8


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("impatient") / "node"
    with opened_front_door(folder, acse_timeout_s=0.4, network_timeout_s=0.6) as opened:
        yield opened


@pytest.fixture
def connection(impatient) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", impatient.port), 10) as opened:
        yield opened


def test_who_connects_and_says_nothing_is_cut(impatient, connection):
    assert rest(connection) == b""
    assert_gone(impatient)


def test_who_stops_within_the_association_request_is_cut(impatient, connection):
    connection.sendall(REQUEST[:50])

    assert_cut(rest(connection))
    assert_gone(impatient)


def test_who_sends_an_association_request_byte_by_byte_is_cut_before_its_end(impatient, connection):
    with dripping(connection, REQUEST, every_s=0.02) as sent:  # five seconds in all
        assert_cut(rest(connection))

    assert len(sent) < len(REQUEST)
    assert_gone(impatient)


def test_who_stays_silent_after_the_acceptance_is_aborted(impatient, connection):
    associate(connection)

    assert rest(connection)[:1] == bytes([ABORT])
    assert_gone(impatient)


@pytest.mark.parametrize("length", [3, 6, 20], ids=["in the header", "after the header", "in the command"])
def test_who_stops_within_a_pdu_is_cut(impatient, connection, length):
    associate(connection)
    connection.sendall(pdu(3, 0x03, c_echo_request(ECHO, 1))[:length])

    assert_cut(rest(connection))
    assert_gone(impatient)


def test_who_sends_a_pdu_byte_by_byte_is_cut_before_its_end(impatient, connection):
    associate(connection)

    message = pdu(3, 0x03, c_echo_request(ECHO, 1))
    with dripping(connection, message, every_s=0.05) as sent:  # four seconds in all
        assert_cut(rest(connection))

    assert len(sent) < len(message)
    assert_gone(impatient)


@pytest.mark.parametrize("part", [0.0, 0.5, 0.999], ids=["before its data", "amid its data", "at the end of its data"])
def test_an_instance_that_stops_half_way_is_cut_and_leaves_nothing(impatient, connection, part):
    ds = ct_study(slices=1)[0]
    associate(connection)
    dataset = pdu(1, 0x02, encoded(ds))
    connection.sendall(pdu(1, 0x03, c_store_request(CTImageStorage, ds.SOPInstanceUID, 1)) + dataset[: int(part * len(dataset))])

    assert_cut(rest(connection))
    assert_gone(impatient)
    assert not impatient.files(ds.StudyInstanceUID)
    assert not [path for path in (impatient.folder / "spool" / "arriving").rglob("*") if path.is_file() and path.name != "lock"]


def test_an_instance_that_comes_byte_by_byte_is_cut(impatient, connection):
    ds = ct_study(slices=1)[0]
    associate(connection)
    connection.sendall(pdu(1, 0x03, c_store_request(CTImageStorage, ds.SOPInstanceUID, 1)))

    with dripping(connection, pdu(1, 0x02, encoded(ds))[:400], every_s=0.02) as sent:
        assert_cut(rest(connection))

    assert len(sent) < 400
    assert_gone(impatient)


class EndlessAnswers:
    """A service that answers each query with more than a connection holds."""

    def contexts(self):
        return [build_context(FIND)]

    def handlers(self):
        return [(evt.EVT_C_FIND, self._find)]

    def _find(self, event):
        match = Dataset()
        match.TextValue = "x" * 60_000
        for _ in range(10_000):
            yield 0xFF00, match


def test_who_never_reads_the_answers_is_cut(tmp_path):
    query = associate_request("CAD_NODE", "SLOW", {1: Context(FIND, "1.2.840.10008.1.2")})
    with (
        opened_front_door(tmp_path / "node", network_timeout_s=0.6, services=lambda _: [EndlessAnswers()]) as opened,
        socket.create_connection(("127.0.0.1", opened.port), 10) as connection,
    ):
        connection.sendall(query)
        assert read_acceptance(connection.recv(4096)).context_ids == {1}

        connection.sendall(pdu(1, 0x03, C_FIND_REQUEST) + pdu(1, 0x02, bytes.fromhex("0800520006000000") + b"STUDY "))

        exactly(connection, 60_000)  # the last that it reads
        assert_gone(opened)


def test_who_stays_after_a_rejection_is_cut(tmp_path):
    with (
        opened_front_door(tmp_path / "node", acse_timeout_s=0.4, unknown_peers="reject") as strict,
        socket.create_connection(("127.0.0.1", strict.port), 10) as connection,
    ):
        connection.sendall(REQUEST)

        answer = rest(connection)

        assert answer[:10] == bytes([3, 0, 0, 0, 0, 4, 0, 1, 1, 3])  # A-ASSOCIATE-RJ, PS3.8 9.3.4
        assert_gone(strict)


def test_slow_peers_take_no_association_from_others(tmp_path):
    with opened_front_door(tmp_path / "node", max_associations=1, acse_timeout_s=30) as opened:
        silent = [socket.create_connection(("127.0.0.1", opened.port)) for _ in range(50)]
        for connection in silent[::2]:
            connection.sendall(REQUEST[:40])

        association = opened.associate()

        assert association.send_c_echo().Status == 0x0000
        association.release()
        for connection in silent:
            connection.close()


def associate(connection: socket.socket) -> None:
    connection.sendall(REQUEST)
    header = exactly(connection, 6)
    answer = header + exactly(connection, struct.unpack(">L", header[2:])[0])
    assert read_acceptance(answer).context_ids == {1, 3}


def pdu(context_id: int, control: int, content: bytes) -> bytes:
    """A P-DATA-TF PDU with one presentation data value, PS3.8 9.3.5. control: 1 command, 2 last fragment."""
    return struct.pack(">BxLLBB", 4, len(content) + 6, len(content) + 2, context_id, control) + content


def exactly(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        chunk = connection.recv(length - len(received))
        assert chunk, "closed too early"
        received += chunk
    return received


def rest(connection: socket.socket) -> bytes:
    """What the node still says before it closes the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def assert_cut(said: bytes) -> None:
    """An A-ABORT, or nothing."""
    assert said[:1] in {b"", bytes([ABORT])}
    assert len(said) <= 10


def assert_gone(opened) -> None:
    wait_until(lambda: not opened.scp.open_associations())


@contextmanager
def dripping(connection: socket.socket, content: bytes, every_s: float) -> Iterator[bytearray]:
    """Sends one byte at a time while the block runs; yields what has been sent."""
    sent, stopped = bytearray(), threading.Event()

    def drip() -> None:
        with suppress(OSError):
            for byte in content:
                connection.send(bytes([byte]))
                sent.append(byte)
                if stopped.wait(every_s):
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    yield sent
    stopped.set()
    thread.join()
