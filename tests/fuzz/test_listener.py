"""Conversations that break the rules, against a listening process: it lives, serves, keeps to its folder and to its memory."""

import itertools
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from cad_node.deliver.messages import COMMAND, LAST, STATUS, Context, associate_request, c_store_request
from tests.fuzz.conversations import ABORT, RELEASE_REQUEST, STORE_CONTEXT, data_pdu, good_conversation, plain_pdu
from tests.fuzz.door import Door, commands, number, opened_door
from tests.fuzz.run import fuzz_listener
from tests.fuzz.targets import original_dataset
from tests.receive.front_door import encoded, wait_until

ROOM_MB = 150  # beside what an idle listener has
UIDS = (f"1.2.3.1.{number}" for number in itertools.count(1))
DELIMITER = b"\xfe\xff\xdd\xe0" + bytes(4)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with opened_door(tmp_path_factory.mktemp("door")) as opened:
        opened.check_serves()
        yield opened


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # of UIDs that are none
def test_disorder_and_lies_leave_the_listener_as_it_was(tmp_path: Path) -> None:
    acknowledged, memory_mb = fuzz_listener(tmp_path, inputs=100, seed=1)

    assert 0 < acknowledged < 100
    assert memory_mb < 300


def sequences_nested_10_000_deep() -> bytes:
    return (b"\x08\x00\x15\x11\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * 10_000


def a_million_empty_items() -> bytes:
    return b"\x08\x00\x15\x11\xff\xff\xff\xff" + (b"\xfe\xff\x00\xe0" + bytes(4)) * 1_000_000 + DELIMITER


def a_value_of_ten_million_values() -> bytes:
    return b"\x08\x00\x08\x00" + (10_000_000).to_bytes(4, "little") + b"\\" * 10_000_000


def an_element_of_four_gigabytes() -> bytes:
    return b"\x08\x00\x08\x00\xfe\xff\xff\xff" + bytes(100)


@pytest.mark.parametrize(
    "bomb", [sequences_nested_10_000_deep, a_million_empty_items, a_value_of_ten_million_values, an_element_of_four_gigabytes]
)
def test_a_data_set_made_to_fill_the_memory_does_not(door: Door, bomb) -> None:
    uid, before_mb = next(UIDS), door.memory_mb()

    answer = door.tell(_stored(bomb() + encoded(_dataset(uid), is_implicit_vr=True), ImplicitVRLittleEndian, uid), patience_s=20)

    assert [number(command, STATUS) for command in commands(answer)]  # taken or refused, but answered
    door.check_acknowledged(answer)
    door.check_serves()
    assert door.memory_mb() - before_mb < ROOM_MB


def test_a_deflated_data_set_of_256_mb_does_not_fill_the_memory(door: Door) -> None:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    uid, before_mb = next(UIDS), door.memory_mb()
    head = encoded(_dataset(uid)) + b"\xe0\x7f\x10\x00OW\0\0" + (1 << 28).to_bytes(4, "little")
    deflated = deflater.compress(head) + b"".join(deflater.compress(bytes(1 << 20)) for _ in range(1 << 8)) + deflater.flush()

    answer = door.tell(_stored(deflated, DeflatedExplicitVRLittleEndian, uid), patience_s=30)

    assert door.check_acknowledged(answer) == 1
    assert door.memory_mb() - before_mb < ROOM_MB


def test_lengths_of_gigabytes_behind_an_invalid_pdu_are_not_believed(door: Door) -> None:
    before_mb = door.memory_mb()
    too_long = struct.pack(">BxL", 4, 262_144)
    lies = struct.pack(">BxL", 71, 0xFFFFFFF0) * 1000

    door.tell(good_conversation(next(UIDS), 4096)[0] + too_long + lies)

    door.check_serves()
    assert door.memory_mb() - before_mb < ROOM_MB


def test_a_pdu_whose_header_comes_in_pieces_is_part_of_its_message(door: Door) -> None:
    associate, _, command, *fragments, release = good_conversation(next(UIDS), 200)
    stream = associate + command + b"".join(fragments) + release
    cuts = [len(associate + command + fragments[0]) + ahead for ahead in range(1, 12)]

    for cut in cuts:
        with socket.create_connection(("127.0.0.1", door.port), 10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(stream[:cut])
            time.sleep(0.05)  # for the listener to have read so far
            connection.sendall(stream[cut:])
            answer = b""
            while chunk := connection.recv(65_536):
                answer += chunk
                if number(next(commands(answer), {}), STATUS) == 0:
                    break

        assert number(next(commands(answer), {}), STATUS) == 0, cut - cuts[0] + 1


def test_a_command_set_that_says_nothing_ends_its_association_in_order(tmp_path: Path) -> None:
    empty = struct.pack("<HHLL", 0, 0, 4, 0)  # a group length of no elements
    stream = b"".join(good_conversation(next(UIDS), 4096)[:-1]) + data_pdu(STORE_CONTEXT, COMMAND | LAST, empty)

    with opened_door(tmp_path) as own_door:
        answer = own_door.tell(stream, patience_s=5)

        assert answer[-10] == ABORT
        assert own_door.check_acknowledged(answer) == 1
        wait_until(lambda: '"how": "EVT_ABORTED", "studies": ["1.2"]' in (tmp_path / "log").read_text())  # they don't stay open


@pytest.mark.parametrize("uid", ["../../../../escaped", "1/../../escaped", "1.2\0/../escaped", "/tmp/escaped", "..", ".", "", "1" * 65])
def test_a_uid_that_would_be_a_path_is_refused(door: Door, uid: str) -> None:
    ds = _dataset("1.2")
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        ds.add_new(keyword, "ST", uid)  # written as it is, as no UI would be

    answer = door.tell(_stored(encoded(ds), ExplicitVRLittleEndian, uid), patience_s=5)

    assert [number(command, STATUS) for command in commands(answer)] != [0]
    assert not list(door.folder.parent.rglob("*escaped*"))


def _dataset(sop_instance_uid: str):
    ds = original_dataset()
    ds.SOPInstanceUID = sop_instance_uid
    return ds


def _stored(dataset: bytes, transfer_syntax_uid: str, sop_instance_uid: str) -> bytes:
    """Association request, C-STORE request, data set, release request."""
    request = associate_request("CAD_NODE", "FUZZ", {STORE_CONTEXT: Context(CTImageStorage, transfer_syntax_uid)})
    command = c_store_request(CTImageStorage, sop_instance_uid, 1)
    pieces = [dataset[start : start + 100_000] for start in range(0, len(dataset), 100_000)]
    fragments = [data_pdu(STORE_CONTEXT, 0, piece) for piece in pieces[:-1]] + [data_pdu(STORE_CONTEXT, LAST, pieces[-1])]
    return b"".join([request, data_pdu(STORE_CONTEXT, COMMAND | LAST, command), *fragments, plain_pdu(RELEASE_REQUEST)])
