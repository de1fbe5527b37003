"""A data set on its way into a file: an image in one write, when it has come; what is larger than memory as it comes."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from cad_node.disk import OutOfSpace
from cad_node.errors import CadNodeError
from cad_node.receive.collected import Collected
from cad_node.receive.header import Header, read_header
from cad_node.store.arriving import ArrivingFile
from cad_node.store.digest import PREAMBLE_BYTES, named
from cad_node.store.spool import Spool

_MOST_PIECES = 4096
_WRITTEN_AT_ONCE = 1 << 17  # bytes, where the operating system may take its time
_BEGINNING_BYTES = 1 << 20  # holds most headers

Head = Callable[[int | None], bytes]  # the data set's size, where the file is to fill blocks -> what stands between preamble and data set


class Stored(NamedTuple):
    path: Path
    digest: str


class IncomingFile:
    """Takes a data set. Trouble is kept for the end: what is still to come has to be read all the same."""

    def __init__(self, spool: Spool, memory: Collected, head: Head, trouble: CadNodeError | None = None) -> None:
        """trouble: there is some already, and nothing is written."""
        self._spool, self._memory, self._make_head = spool, memory, head
        self._trouble: Exception | None = trouble
        self._data_set = blake3()
        self._head = b""
        self._file: ArrivingFile | None = None
        self._written = 0  # bytes of the data set that are in the file
        self._whole: memoryview | None = None  # the file, in memory

    def room(self) -> memoryview:
        self._write()
        return self._memory.room

    def take(self, start: int, size: int) -> None:
        memory = self._memory
        memory.take(start, size)
        if len(memory.pieces) == _MOST_PIECES or (memory.size >= _WRITTEN_AT_ONCE and not self._spool.durable):
            self._write()

    def header(self, transfer_syntax_uid: str) -> Header:
        """The header of what has come. Raises UnparseableDataset, OutOfSpace, OSError."""
        if self._file is None and self._trouble is None and self._spool.durable and self._memory.size % 2 == 0:
            self._head = self._make_head(self._memory.size)
            self._whole = self._memory.behind(bytes(PREAMBLE_BYTES) + self._head)
            data_set = self._whole[PREAMBLE_BYTES + len(self._head) :]
            self._data_set.update(data_set)
            return read_header(data_set, transfer_syntax_uid)
        file = self._begun()

        def read_at(offset: int, size: int) -> bytes:
            return file.read_at(len(self._head) + offset, size)

        return read_header(read_at(0, _BEGINNING_BYTES), transfer_syntax_uid, self._written, read_at)

    def complete(self) -> Stored:
        """The file is whole, and durable, from now on. Raises OutOfSpace, OSError."""
        if self._whole is not None:
            self._require_room(len(self._whole))
            self._file = file = self._spool.arriving()
            file.complete_at_once(self._whole, self._head, self._data_set)
        else:
            file = self._begun()
            file.complete(self._head, self._data_set)
        self._file = None
        return Stored(file.path, named(self._data_set))

    def discard(self) -> None:
        """Nothing stays of a file that isn't complete."""
        if self._file:
            self._file.discard()

    def _begun(self) -> ArrivingFile:
        """The file, with all that has come in it."""
        self._write()
        if self._trouble:
            raise self._trouble
        return self._file or self._begin()

    def _write(self) -> None:
        """Empty the memory into the file."""
        if self._memory.pieces and self._trouble is None:
            try:
                self._write_collected()
            except (CadNodeError, OSError) as error:
                self._trouble = error
        self._memory.clear()

    def _write_collected(self) -> None:
        self._require_room(self._memory.size)
        file = self._file or self._begin()
        file.write(*self._memory.pieces)
        for piece in self._memory.pieces:
            self._data_set.update(piece)
        self._written += self._memory.size

    def _begin(self) -> ArrivingFile:
        self._file, self._head = self._spool.arriving(), self._make_head(None)
        self._file.write(self._head)
        return self._file

    def _require_room(self, size: int) -> None:
        if not self._spool.has_room(size):
            raise OutOfSpace("less free space than scp.min_free_mb; free some, then send it again")
