"""One received instance: collected, checked, stored, handed to the index. Knows nothing of the network."""

from collections.abc import Callable
from datetime import datetime

from cad_node.errors import CadNodeError
from cad_node.log import get_logger
from cad_node.receive.c_store import StoreCommand
from cad_node.receive.collected import Collected
from cad_node.receive.header import Header
from cad_node.receive.incoming_file import IncomingFile, Stored
from cad_node.receive.index_queue import Arrived, IndexBehind, IndexQueue, Ticket
from cad_node.receive.part10 import file_head
from cad_node.receive.presentation import IMAGE_CLASSES
from cad_node.receive.statuses import SUCCESS, MismatchedDataset, StoreStatus, status_of
from cad_node.store.arriving import forget
from cad_node.store.spool import InvalidUid, Spool, check_uid
from cad_node.store.studies import UidTaken

log = get_logger()

_MOST_FREE = 8

Placed = Callable[[Header, Ticket], None]  # an instance is stored: its header, and the index's ticket
Refused = Callable[[Exception], None]  # it isn't


class Intake:
    """Where instances come in, from whatever association."""

    def __init__(self, spool: Spool, index: IndexQueue, clock: Callable[[], datetime]) -> None:
        self._spool, self._index, self._clock = spool, index, clock
        self._free: list[Collected] = []

    def begin(self, command: StoreCommand, placed: Placed, refused: Refused) -> "IncomingInstance":
        """A data set is about to come. placed: is called once it is stored. refused: with the reason why it isn't."""
        return IncomingInstance(command, self._spool, self, placed, refused)

    def lend(self) -> Collected:
        """Memory to collect an instance in."""
        try:
            return self._free.pop()
        except IndexError:
            return Collected()

    def take_back(self, memory: Collected) -> None:
        """It can be lent again."""
        memory.clear()
        if len(self._free) < _MOST_FREE:
            self._free.append(memory)

    def index(self, stored: Stored, header: Header, command: StoreCommand) -> Ticket:
        """Have a complete file indexed.

        Raises IndexBehind; and UidTaken: it is kept, but aside.
        """
        final = self._spool.path_of(header.study_instance_uid, header.series_instance_uid, header.sop_instance_uid)
        is_result, sender = may_be_result(header), command.calling_ae_title
        try:
            ticket = self._index.put(Arrived(header, command.transfer_syntax_uid, *stored, final, self._clock(), is_result, sender))
        except BaseException:
            forget(stored.path)
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
    """A Sink: the data set of one C-STORE request."""

    def __init__(self, command: StoreCommand, spool: Spool, intake: Intake, placed: Placed, refused: Refused) -> None:
        self._command, self._intake, self._placed, self._refused = command, intake, placed, refused
        self._memory: Collected | None = intake.lend()
        self._file = IncomingFile(spool, self._memory, self._head, _trouble_of(command))

    def room(self) -> memoryview:
        return self._file.room()

    def take(self, start: int, size: int) -> None:
        self._file.take(start, size)

    def write(self, dataset: bytes) -> None:
        """Take a data set that is in memory already."""
        place = 0
        while place < len(dataset):
            room = self.room()
            piece = dataset[place : place + len(room)]
            room[: len(piece)] = piece
            self.take(0, len(piece))
            place += len(piece)

    def finish(self) -> StoreStatus:
        """Check and store what has come. Whatever goes wrong is a status: other instances of the association live on."""
        try:
            header = self._file.header(self._command.transfer_syntax_uid)
            _check_identity(self._command, header)
            ticket = self._intake.index(self._file.complete(), header, self._command)
            self._placed(header, ticket)
        except Exception as error:  # noqa: BLE001 - one bad instance must not cost its neighbours
            return self._refusal(error)
        finally:
            self.abandon()
        return SUCCESS

    def abandon(self) -> None:
        self._file.discard()
        memory, self._memory = self._memory, None
        if memory:
            self._intake.take_back(memory)

    def _head(self, data_set_bytes: int | None) -> bytes:
        command = self._command
        uids = command.sop_class_uid, command.sop_instance_uid, command.transfer_syntax_uid
        return file_head(*uids, command.calling_ae_title, data_set_bytes)

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


def _trouble_of(command: StoreCommand) -> InvalidUid | None:
    """What isn't a UID becomes no part of a file."""
    try:
        check_uid("SOP Class UID", command.sop_class_uid)
        check_uid("SOP Instance UID", command.sop_instance_uid)
    except InvalidUid as error:
        return error
    return None


def _check_identity(command: StoreCommand, header: Header) -> None:
    check_uid("Study Instance UID", header.study_instance_uid)
    check_uid("Series Instance UID", header.series_instance_uid)
    check_uid("SOP Class UID", header.sop_class_uid)
    check_uid("SOP Instance UID", header.sop_instance_uid)
    if header.sop_class_uid != command.sop_class_uid:
        raise MismatchedDataset(f"instance {header.sop_instance_uid}: its SOP Class UID {header.sop_class_uid} isn't that of the command")
    if header.sop_instance_uid != command.sop_instance_uid:
        raise MismatchedDataset(f"instance {header.sop_instance_uid}: its SOP Instance UID isn't that of the command")
