"""A data set's bytes come through whole, however senders cut them into values and PDUs, and networks into segments."""

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cad_node.receive.c_store import COMMAND, LAST
from cad_node.receive.collected import Collected
from cad_node.receive.data_set_stream import Closed, Interrupted, InvalidPdu, read_data_set

CONTEXT = 5
LARGEST_PDU = 1 << 17
RELEASE = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"


class Segments:
    """A wire on which bytes come in segments of these sizes, and then the peer closes."""

    def __init__(self, stream: bytes, sizes: Sequence[int] = ()) -> None:
        self.stream, self._sizes = stream, list(sizes)

    def read(self, into: memoryview, least: int) -> int:
        done = 0
        while self.stream and done < least:
            size = min(len(into) - done, len(self.stream), self._sizes.pop(0) if self._sizes else len(self.stream))
            into[done : done + size], self.stream = self.stream[:size], self.stream[size:]
            done += size
        return done

    def put_back(self, unread: bytes) -> None:
        self.stream = unread + self.stream


class Kept:
    """A sink with room for so many bytes at a time."""

    def __init__(self, room_bytes: int = 1 << 20) -> None:
        self._room = memoryview(bytearray(room_bytes))
        self.content = b""

    def room(self) -> memoryview:
        return self._room

    def take(self, start: int, size: int) -> None:
        self.content += self._room[start : start + size]

    def finish(self) -> None:
        raise AssertionError

    abandon = finish


def value(content: bytes, control: int = 0, context_id: int = CONTEXT) -> bytes:
    return struct.pack(">LBB", len(content) + 2, context_id, control) + content


def pdu(*values: bytes) -> bytes:
    body = b"".join(values)
    return struct.pack(">BxL", 4, len(body)) + body


contents = st.lists(st.lists(st.binary(max_size=60), min_size=1, max_size=4), min_size=1, max_size=8)


@settings(deadline=None)
@given(contents, st.lists(st.integers(1, 40), max_size=50), st.integers(20_000, 20_100), st.binary(max_size=10), st.booleans())
def test_what_is_sent_is_what_the_sink_gets_and_what_follows_stays(pdus, segments, room_bytes, behind, begins_with_command):
    values = [[value(content) for content in of_pdu] for of_pdu in pdus]
    values[-1][-1] = value(pdus[-1][-1], LAST)
    stream = b"".join(pdu(*of_pdu) for of_pdu in values)
    rest_of_pdu = struct.unpack_from(">L", stream, 2)[0] if begins_with_command else 0
    wire, sink = Segments(stream[6 * begins_with_command :] + behind, segments), Kept(room_bytes)

    read_data_set(wire, sink, CONTEXT, LARGEST_PDU, rest_of_pdu)

    assert sink.content == b"".join(content for of_pdu in pdus for content in of_pdu)
    assert wire.stream == behind


def test_a_data_set_larger_than_the_room_asks_for_room_again():
    content = bytes(range(256)) * 1000
    stream = pdu(value(content[:100_000])) + pdu(value(content[100_000:200_000])) + pdu(value(content[200_000:], LAST))
    sink = Kept(40_000)

    read_data_set(Segments(stream, [1000] * 300), sink, CONTEXT, LARGEST_PDU)

    assert sink.content == content


def test_values_behind_the_last_are_left_out():
    wire, sink = Segments(pdu(value(b"content", LAST), value(b"nothing")) + RELEASE), Kept()

    read_data_set(wire, sink, CONTEXT, LARGEST_PDU)

    assert sink.content == b"content"
    assert wire.stream == RELEASE


def test_another_pdu_interrupts_and_is_there_for_whoever_reads_next():
    wire = Segments(pdu(value(b"half")) + RELEASE)

    with pytest.raises(Interrupted) as interrupted:
        read_data_set(wire, Kept(), CONTEXT, LARGEST_PDU)

    assert type(interrupted.value) is Interrupted
    assert wire.stream == RELEASE


@pytest.mark.parametrize("sent", [b"", pdu(value(b"half")), pdu(value(b"content", LAST))[:-1], b"\4\0\0", pdu(value(b""))[:8]])
def test_a_peer_that_goes_away_in_the_middle_is_noticed(sent):
    with pytest.raises(Closed):
        read_data_set(Segments(sent), Kept(), CONTEXT, LARGEST_PDU)


@pytest.mark.parametrize(
    "sent",
    [
        pdu(value(b"x", LAST, CONTEXT + 2)),
        pdu(value(b"x", LAST | COMMAND)),
        struct.pack(">BxL", 4, 0),
        struct.pack(">BxL", 4, LARGEST_PDU + 1),
        struct.pack(">BxLLBB", 4, 6, 1, CONTEXT, 0),
        struct.pack(">BxLLBB", 4, 7, 4, CONTEXT, 0),
        struct.pack(">BxLLBB", 4, 0xFFFFFFF0, 4, CONTEXT, 0),
        pdu(value(b"x"), b"\0\0\0"),
    ],
    ids=["another context", "a command", "empty", "too long", "length 1", "beyond its PDU", "length that lies", "a header cut off"],
)
def test_what_is_no_rest_of_a_data_set_is_invalid(sent):
    with pytest.raises(InvalidPdu):
        read_data_set(Segments(sent + bytes(100)), Kept(), CONTEXT, LARGEST_PDU)


@settings(deadline=None)
@given(st.binary(max_size=5000), st.lists(st.tuples(st.integers(0, 100), st.binary(max_size=2000)), max_size=20))
def test_what_is_collected_with_gaps_becomes_one_piece_behind_a_head(head, pieces):
    memory, place = Collected(), 0
    for gap, content in pieces:
        place += gap
        memory.room[place : place + len(content)] = content
        memory.take(place, len(content))
        place += len(content)

    whole = memory.behind(head)

    assert bytes(whole) == head + b"".join(content for _, content in pieces)
    assert memory.size == 0
