"""One received instance: collected, checked, stored, handed to the index. Knows nothing of the network."""

from collections.abc import Callable
from datetime import datetime

from cad_node.errors import CadNodeError
from cad_node.log import get_logger
from cad_node.receive.c_store import StoreCommand
from cad_node.receive.header import Header, read_header
from cad_node.receive.index_queue import Arrived, IndexBehind, IndexQueue, Ticket
from cad_node.receive.part10 import file_head
from cad_node.receive.presentation import IMAGE_CLASSES
from cad_node.receive.statuses import SUCCESS, MismatchedDataset, StoreStatus, status_of
from cad_node.store.files import ArrivingFile, InvalidUid, OutOfSpace, Spool, check_uid
from cad_node.store.studies import UidTaken

log = get_logger()

_COLLECTED_BYTES = 1 << 20  # an image is written at once; what is larger goes to the disk in such pieces
_MOST_FREE = 8
_BEYOND_BYTES = (1 << 17) + 16  # the most that is asked room for: a PDU, and the header of the next

Placed = Callable[[Header, Ticket], None]  # an instance is stored: its header, and the index's ticket
Refused = Callable[[Exception], None]  # it isn't


class Intake:
    """Where instances come in, from whatever association."""

    def __init__(self, spool: Spool, index: IndexQueue, clock: Callable[[], datetime]) -> None:
        self._spool, self._index, self._clock = spool, index, clock
        self._free: list[memoryview] = []  # memory that instances have been collected in: to ask for it anew costs more than to fill it

    def begin(self, command: StoreCommand, placed: Placed, refused: Refused) -> "IncomingInstance":
        """A data set is about to come. placed: is called once it is stored. refused: with the reason why it isn't."""
        return IncomingInstance(command, self._spool, self, placed, refused)

    def lend(self) -> memoryview:
        """Memory to collect an instance in."""
        try:
            return self._free.pop()
        except IndexError:
            return memoryview(bytearray(_COLLECTED_BYTES + _BEYOND_BYTES))

    def take_back(self, memory: memoryview) -> None:
        """It can be lent again."""
        if len(self._free) < _MOST_FREE:
            self._free.append(memory)

    def store(self, file: ArrivingFile, header: Header, command: StoreCommand) -> Ticket:
        """Complete a written file, and have it indexed.

        Raises InvalidUid, OutOfSpace, IndexBehind; and UidTaken: it is kept, but aside.
        """
        final = self._spool.path_of(header.study_instance_uid, header.series_instance_uid, header.sop_instance_uid)
        try:
            file.complete()
            is_result, sender = may_be_result(header), command.calling_ae_title
            ticket = self._index.put(Arrived(header, command.transfer_syntax_uid, file.path, final, self._clock(), is_result, sender))
        except BaseException:
            file.discard()
            raise
        if ticket.comes_again:
            self._require_no_conflict(ticket, header.sop_instance_uid)
        return ticket

    def _require_no_conflict(self, ticket: Ticket, sop_instance_uid: str) -> None:
        """The index knows whether what came again is the same."""
        if not self._index.wait_for(ticket):
            raise IndexBehind("the index doesn't keep up; send the instance again later")
        if ticket.is_conflict:
            raise UidTaken(f"SOP Instance UID {sop_instance_uid} belongs to another content; this one is kept aside")


class IncomingInstance:
    """A Sink: the data set of one C-STORE request, in memory while it is small."""

    def __init__(self, command: StoreCommand, spool: Spool, intake: Intake, placed: Placed, refused: Refused) -> None:
        self._command, self._spool, self._intake, self._placed, self._refused = command, spool, intake, placed, refused
        self._collected = intake.lend()
        self._size = 0  # bytes in `_collected`
        self._written = 0  # bytes of the data set in the file
        self._file: ArrivingFile | None = None
        self._trouble: Exception | None = None
        self._check_command()

    def room(self, size: int) -> memoryview:
        if self._size + size > len(self._collected):
            self._write()
        return self._collected[self._size :]

    def take(self, size: int) -> None:
        self._size += size

    def write(self, dataset: bytes) -> None:
        """Take a data set that is in memory already."""
        for start in range(0, len(dataset), _COLLECTED_BYTES):
            piece = dataset[start : start + _COLLECTED_BYTES]
            self.room(len(piece))[: len(piece)] = piece
            self.take(len(piece))

    def finish(self) -> StoreStatus:
        """Check and store what has come. Whatever goes wrong is a status: other instances of the association live on."""
        try:
            if self._trouble:
                raise self._trouble
            self._store()
        except Exception as error:  # noqa: BLE001 - one bad instance must not cost its neighbours
            return self._refusal(error)
        finally:
            self.abandon()
        return SUCCESS

    def abandon(self) -> None:
        memory, self._collected = self._collected, memoryview(b"")
        if memory:
            self._intake.take_back(memory)
        if self._file:
            self._file.discard()
            self._file = None

    def _store(self) -> None:
        header = self._header()
        _check_identity(self._command, header)
        self._write()
        if self._trouble:
            raise self._trouble
        file, self._file = self._file, None
        assert file is not None
        ticket = self._intake.store(file, header, self._command)
        self._placed(header, ticket)

    def _check_command(self) -> None:
        """What isn't a UID becomes no part of a file; the data set is read all the same."""
        try:
            check_uid("SOP Class UID", self._command.sop_class_uid)
            check_uid("SOP Instance UID", self._command.sop_instance_uid)
        except InvalidUid as error:
            self._trouble = error

    def _header(self) -> Header:
        file = self._file
        if file is None:
            return read_header(self._collected[: self._size], self._command.transfer_syntax_uid)
        self._write()
        head_bytes = len(self._head())
        beginning = file.read_at(head_bytes, _COLLECTED_BYTES)
        return read_header(
            beginning, self._command.transfer_syntax_uid, self._written, lambda offset, size: file.read_at(head_bytes + offset, size)
        )

    def _write(self) -> None:
        """Empty the memory into the file. Trouble is kept for the end: the rest of the data set has to be read all the same."""
        if self._trouble is None:
            try:
                self._write_collected()
            except (CadNodeError, OSError) as error:
                self._trouble = error
        self._size = 0

    def _write_collected(self) -> None:
        if not self._spool.has_room(self._size):
            raise OutOfSpace("less free space than scp.min_free_mb; free some, then send it again")
        head = b""
        if self._file is None:
            self._file, head = self._spool.arriving(), self._head()
        self._file.write(head, self._collected[: self._size])
        self._written += self._size

    def _head(self) -> bytes:
        command = self._command
        return file_head(command.sop_class_uid, command.sop_instance_uid, command.transfer_syntax_uid, command.calling_ae_title)

    def _refusal(self, error: Exception) -> StoreStatus:
        """The status that answers `error`, PS3.4 Table B.2-1; the reason goes to the log."""
        status = status_of(error)
        refusal = {"status": f"0x{status.code:04X}", "calling_ae_title": self._command.calling_ae_title}
        if isinstance(error, CadNodeError):
            log.warning("instance.refused", reason=str(error), **refusal)
        else:
            log.error("instance.failed", exc_info=error, **refusal)
        self._refused(error)
        return status


def may_be_result(header: Header) -> bool | None:
    """Whether the instance was made from images and so is never analysed, nor reopens its study; None: if this node made it.

    Not only what this node made: a report or a segmentation of any origin, and images that other CAD systems made. An image
    that is ORIGINAL stays input, whatever workstation or router has added itself as processing equipment; it isn't looked up
    among the node's own results, all of which are derived.
    """
    if header.sop_class_uid not in IMAGE_CLASSES:
        return True
    pixels = next(iter(header.index.get("ImageType", ())), "")  # value 1: Pixel Data Characteristics, PS3.3 C.7.6.1.1.2
    if pixels == "ORIGINAL":
        return False
    return True if pixels == "DERIVED" and header.names_processing else None


def _check_identity(command: StoreCommand, header: Header) -> None:
    check_uid("Study Instance UID", header.study_instance_uid)
    check_uid("Series Instance UID", header.series_instance_uid)
    check_uid("SOP Class UID", header.sop_class_uid)
    check_uid("SOP Instance UID", header.sop_instance_uid)
    if header.sop_class_uid != command.sop_class_uid:
        raise MismatchedDataset(f"instance {header.sop_instance_uid}: its SOP Class UID {header.sop_class_uid} isn't that of the command")
    if header.sop_instance_uid != command.sop_instance_uid:
        raise MismatchedDataset(f"instance {header.sop_instance_uid}: its SOP Instance UID isn't that of the command")
