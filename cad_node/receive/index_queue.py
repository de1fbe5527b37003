"""From a stored file to its row in the index: many at a time, after the sender has had its answer, and never forgotten.

An instance is stored when its file in the spool's arriving/ is complete. Here it gets the name that it keeps, and its row; then
it loses the first name. Whatever ends the process in between, the next one finds the first name, and does the rest.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cad_node.errors import CadNodeError
from cad_node.log import get_logger
from cad_node.receive.header import Header
from cad_node.store.arriving import forget
from cad_node.store.digest import digest_of
from cad_node.store.spool import SAME, Placed, Spool, restore
from cad_node.store.studies import ReceivedInstance, Studies

log = get_logger()

_MOST_AT_ONCE = 500
_MOST_WAITING = 5_000  # beyond, senders wait: the index doesn't keep up
_GATHERING_S = 0.25  # many at once cost little more than one, and each batch waits for the disk as its senders do
_RETRY_S = 1.0
_PATIENCE_S = 5.0


class IndexBehind(CadNodeError):
    """What came before isn't indexed yet."""

    retryable = True


class Arrived(NamedTuple):
    """A stored instance that the index doesn't know yet."""

    header: Header
    transfer_syntax_uid: str
    arriving: Path  # where it lies as yet
    digest: str
    final: Path  # where it is to lie
    at: datetime
    is_result: bool | None  # None: if this node made it
    calling_ae_title: str  # that sent it


@dataclass(slots=True)
class Ticket:
    """Where an instance stands in the queue."""

    number: int
    comes_again: bool  # an instance of its UID lies at its place, or waits
    is_conflict: bool = False  # known once it is indexed: another content has its UID


class IndexQueue:
    """A thread that places and indexes what is put into it; used as a context manager."""

    def __init__(self, spool: Spool, studies: Studies) -> None:
        self._spool, self._studies = spool, studies
        self._waiting: list[tuple[Arrived, Ticket]] = []
        self._uids: Counter[str] = Counter()  # SOP Instance UIDs among them
        self._put = self._done = 0  # the last ticket's number: given, and indexed up to
        self._changed = threading.Condition()
        self._hurry = self._stopping = False
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)

    def __enter__(self) -> "IndexQueue":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Index what waits, unless the database is away."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    def put(self, arrived: Arrived) -> Ticket:
        """Have an instance indexed soon. Raises IndexBehind where too many wait already."""
        uid = arrived.header.sop_instance_uid
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._waiting) < _MOST_WAITING, _PATIENCE_S):
                raise IndexBehind("the index doesn't keep up; send the instance again later")
            self._put += 1
            ticket = Ticket(self._put, comes_again=uid in self._uids or arrived.final.exists())
            self._waiting.append((arrived, ticket))
            self._uids[uid] += 1
            if len(self._waiting) == 1:
                self._changed.notify_all()
            return ticket

    def wait_for(self, ticket: Ticket, timeout_s: float = _PATIENCE_S) -> bool:
        """Wait until the instance of a ticket is indexed; False: it isn't yet."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._done >= ticket.number, timeout_s)

    def _run(self) -> None:
        while batch := self._next_batch():
            self._index(batch)
            with self._changed:
                del self._waiting[: len(batch)]
                self._uids -= Counter(arrived.header.sop_instance_uid for arrived, _ in batch)
                self._done += len(batch)
                self._changed.notify_all()

    def _next_batch(self) -> Sequence[tuple[Arrived, Ticket]]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if not self._stopping:
                self._changed.wait_for(lambda: self._hurry or self._stopping or len(self._waiting) >= _MOST_AT_ONCE, _GATHERING_S)
            self._hurry = False
            return self._waiting[:_MOST_AT_ONCE]

    def _index(self, batch: Sequence[tuple[Arrived, Ticket]]) -> None:
        """Index a batch, however long disk and database are away; what can't be indexed at all stays for the next start."""
        while True:
            try:
                self._index_all(batch)
            except (CadNodeError, OSError) as error:
                if not getattr(error, "retryable", True) or self._is_hopeless():
                    log.error("instances.not_indexed", instances=len(batch), reason=str(error))
                    return
                log.warning("index.waits", instances=len(batch), reason=str(error))
            except Exception:
                if len(batch) == 1:
                    log.exception("instance.not_indexed", sop_instance_uid=batch[0][0].header.sop_instance_uid)
                else:
                    for one in batch:
                        self._index([one])
                return
            else:
                return

    def _is_hopeless(self) -> bool:
        """Wait before the next attempt; True: the process ends, its successor will do it."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stopping, _RETRY_S)

    def _index_all(self, batch: Sequence[tuple[Arrived, Ticket]]) -> None:
        placed = [(arrived, ticket, place) for arrived, ticket in batch if (place := self._placed(arrived))]
        self._spool.sync(place.path for _, _, place in placed)
        received = [self._received(arrived, place) for arrived, _, place in placed]
        conflicts = {id(conflict) for conflict in self._studies.index_all(received, batch[-1][0].at).conflicts}
        for (arrived, ticket, _), indexed in zip(placed, received, strict=True):
            ticket.is_conflict = id(indexed) in conflicts
            if ticket.is_conflict:
                log.error("instance.conflict", sop_instance_uid=indexed.sop_instance_uid, study=indexed.study_instance_uid)
            restore(arrived.arriving, indexed.path)
            forget(arrived.arriving)

    def _placed(self, arrived: Arrived) -> Placed | None:
        """Where an instance lies; None: nowhere, somebody has removed it. What was forgotten before the disk failed has its final name."""
        try:
            return self._spool.place(arrived.arriving, arrived.digest, arrived.final)
        except FileNotFoundError:
            if arrived.arriving.exists():
                raise
        if arrived.final.exists():
            return Placed(arrived.final, SAME, digest_of(arrived.final))
        reason = "its file was removed from arriving/ before it was indexed"
        log.error("instance.lost", sop_instance_uid=arrived.header.sop_instance_uid, reason=reason)
        return None

    def _received(self, arrived: Arrived, placed: Placed) -> ReceivedInstance:
        header = arrived.header
        is_result = self._studies.is_own_result(header.sop_instance_uid) if arrived.is_result is None else arrived.is_result
        return ReceivedInstance(
            study_instance_uid=header.study_instance_uid,
            series_instance_uid=header.series_instance_uid,
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            transfer_syntax_uid=arrived.transfer_syntax_uid,
            modality=header.modality,
            path=placed.path,
            digest=placed.digest,
            header=header.index,
            is_result=is_result,
            calling_ae_title=arrived.calling_ae_title,
        )
