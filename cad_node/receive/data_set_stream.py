"""The data set of a C-STORE request as it comes over the wire: presentation data values in P-DATA-TF PDUs, PS3.8 9.3.5 and Annex E.

As much as has come is read at once, headers of PDUs and values with it, and stays where it was read to: the sink is told which
stretches of its memory are content. So the cost goes by what is there at a time, not by PDUs, of which a slice can have 33.
"""

from collections.abc import Iterator
from struct import Struct
from typing import Protocol

from cad_node.receive.c_store import COMMAND, LAST, P_DATA, Sink

PDU_HEADER = Struct(">BxL")  # type, reserved, length
_VALUE_HEADER = Struct(">LBB")  # length of what follows it, context, control
_LEAST_ROOM = 1 << 14  # bytes: with less, the sink is asked for more


class Wire(Protocol):
    """What the bytes come over."""

    def read(self, into: memoryview, least: int) -> int:
        """Read what has come, and wait until it is `least` bytes; returns how many, fewer only if the peer has closed.

        Raises TimeoutError.
        """
        ...

    def put_back(self, unread: bytes) -> None:
        """Have the next read begin with `unread`."""
        ...


class Interrupted(Exception):
    """The data set doesn't go on: another PDU than P-DATA-TF comes, and is put back."""


class Closed(Interrupted):
    """The peer is gone."""


class InvalidPdu(Interrupted):
    """What comes isn't the rest of the data set."""


def read_data_set(wire: Wire, sink: Sink, context_id: int, largest_pdu_bytes: int, rest_of_pdu: int = 0) -> None:
    """Fill the sink, up to the value that is the last.

    rest_of_pdu: bytes that are left of the PDU with the command; values begin in them. Raises Interrupted, TimeoutError.
    """
    inflow, in_pdu, control = _Inflow(wire, sink), rest_of_pdu, 0
    while not control & LAST:
        in_pdu = in_pdu or inflow.pdu_length(largest_pdu_bytes)
        length, value_context_id, control = inflow.unpack(_VALUE_HEADER) if in_pdu >= _VALUE_HEADER.size else (0, 0, 0)
        if not 2 <= length <= in_pdu - 4 or value_context_id != context_id or control & COMMAND:
            raise InvalidPdu
        inflow.give(length - 2)
        in_pdu -= 4 + length
    inflow.leave_out(in_pdu)  # values behind the last belong to nothing
    inflow.put_back()


class _Inflow:
    """What has been read: place to end of the room, and from which bytes are taken."""

    def __init__(self, wire: Wire, sink: Sink) -> None:
        self._wire, self._sink = wire, sink
        self._room = sink.room()
        self._place = self._end = 0

    def pdu_length(self, largest_bytes: int) -> int:
        """The length of the P-DATA-TF PDU that begins. Raises Interrupted where another does."""
        self._require(PDU_HEADER.size)
        pdu_type, length = PDU_HEADER.unpack_from(self._room, self._place)
        if pdu_type != P_DATA:
            self.put_back()
            raise Interrupted
        if length > largest_bytes:
            raise InvalidPdu
        self._place += PDU_HEADER.size
        return int(length)

    def unpack(self, header: Struct) -> tuple[int, ...]:
        self._require(header.size)
        self._place += header.size
        return header.unpack_from(self._room, self._place - header.size)

    def give(self, size: int) -> None:
        """So many bytes are the sink's."""
        for start, here in self._stretches(size):
            self._sink.take(start, here)

    def leave_out(self, size: int) -> None:
        for _ in self._stretches(size):
            pass

    def put_back(self) -> None:
        """Whatever is read already is for whoever reads next."""
        self._wire.put_back(bytes(self._room[self._place : self._end]))

    def _stretches(self, size: int) -> Iterator[tuple[int, int]]:
        """Where in the room so many bytes lie, as they come: start and size."""
        while size:
            if self._place == self._end:
                self._read(size)
            here = min(size, self._end - self._place)
            yield self._place, here
            self._place += here
            size -= here

    def _require(self, size: int) -> None:
        while self._end - self._place < size:
            self._read(size - (self._end - self._place))

    def _read(self, wanted: int) -> None:
        """Read what has come, and wait until it is `wanted` bytes, or fills the room. Raises Closed, TimeoutError."""
        if len(self._room) - self._end < _LEAST_ROOM:
            begun, self._room = bytes(self._room[self._place : self._end]), self._sink.room()
            self._room[: len(begun)] = begun
            self._place, self._end = 0, len(begun)
        least = min(wanted, len(self._room) - self._end)
        arrived = self._wire.read(self._room[self._end :], least)
        self._end += arrived
        if arrived < least:
            raise Closed
