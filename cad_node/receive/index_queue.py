"""From a stored file to its row in the index: many at a time, after the sender has had its answer, and never forgotten.

A stored file keeps its name in the spool's arriving/ until its row is committed. Whatever ends the process in between,
the next one finds the name and indexes the file.
"""

import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cad_node.errors import CadNodeError
from cad_node.log import get_logger
from cad_node.receive.header import Header
from cad_node.store.files import forget, restore, sha256_of
from cad_node.store.studies import ReceivedInstance, Studies

log = get_logger()

_MOST_AT_ONCE = 500
_MOST_WAITING = 5_000  # beyond, senders wait: the index doesn't keep up
_GATHERING_S = 0.05
_RETRY_S = 1.0
_PATIENCE_S = 5.0


class IndexBehind(CadNodeError):
    """What came before isn't indexed yet."""

    retryable = True


class Arrived(NamedTuple):
    """A stored instance that the index doesn't know yet."""

    header: Header
    transfer_syntax_uid: str
    path: Path
    arriving: Path  # its first name: the same file
    at: datetime
    is_result: bool | None  # None: if this node made it
    calling_ae_title: str  # that sent it


class IndexQueue:
    """A thread that indexes what is put into it; used as a context manager."""

    def __init__(self, studies: Studies) -> None:
        self._studies = studies
        self._waiting: list[Arrived] = []
        self._put = self._done = 0  # tickets: given, and indexed up to
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

    def put(self, arrived: Arrived) -> int:
        """Have an instance indexed soon. Returns a ticket; where too many wait already, after some have been indexed."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < _MOST_WAITING or self._stopping)
            self._waiting.append(arrived)
            self._put += 1
            if len(self._waiting) == 1:
                self._changed.notify_all()
            return self._put

    def wait_for(self, ticket: int, timeout_s: float) -> bool:
        """Wait until the instance of a ticket is indexed; False: it isn't yet."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._done >= ticket, timeout_s)

    def index_now(self, arrived: Arrived) -> int:
        """Index an instance whose UID another content may have, after all that came before it. Raises UidTaken, CadNodeError."""
        with self._changed:
            ticket = self._put
        if not self.wait_for(ticket, _PATIENCE_S):
            raise IndexBehind("the index doesn't keep up; send the instance again later")
        try:
            self._studies.index(self._received(arrived), arrived.at)
        finally:
            _finish(arrived)
        return ticket

    def _run(self) -> None:
        while batch := self._next_batch():
            self._index(batch)
            with self._changed:
                del self._waiting[: len(batch)]
                self._done += len(batch)
                self._changed.notify_all()

    def _next_batch(self) -> Sequence[Arrived]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if not self._stopping:
                self._changed.wait_for(lambda: self._hurry or self._stopping or len(self._waiting) >= _MOST_AT_ONCE, _GATHERING_S)
            self._hurry = False
            return self._waiting[:_MOST_AT_ONCE]

    def _index(self, batch: Sequence[Arrived]) -> None:
        """Index a batch, however long the database is away; what can't be indexed at all stays for the next start."""
        while True:
            try:
                self._index_all(batch)
            except CadNodeError as error:
                if not error.retryable or self._is_hopeless():
                    log.error("instances.not_indexed", instances=len(batch), reason=str(error))
                    return
                log.warning("index.waits", instances=len(batch), reason=str(error))
            except Exception:
                if len(batch) == 1:
                    log.exception("instance.not_indexed", sop_instance_uid=batch[0].header.sop_instance_uid)
                else:
                    for arrived in batch:
                        self._index([arrived])
                return
            else:
                return

    def _is_hopeless(self) -> bool:
        """Wait before the next attempt; True: the process ends, its successor will do it."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stopping, _RETRY_S)

    def _index_all(self, batch: Sequence[Arrived]) -> None:
        indexed = self._studies.index_all([self._received(arrived) for arrived in batch], batch[-1].at)
        for received in indexed.conflicts:
            log.error("instance.conflict", sop_instance_uid=received.sop_instance_uid, study=received.study_instance_uid)
        for arrived in batch:
            _finish(arrived)

    def _received(self, arrived: Arrived) -> ReceivedInstance:
        header = arrived.header
        is_result = self._studies.is_own_result(header.sop_instance_uid) if arrived.is_result is None else arrived.is_result
        return ReceivedInstance(
            study_instance_uid=header.study_instance_uid,
            series_instance_uid=header.series_instance_uid,
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            transfer_syntax_uid=arrived.transfer_syntax_uid,
            modality=header.modality,
            path=arrived.path,
            sha256=sha256_of(arrived.arriving),
            header=header.index,
            is_result=is_result,
            calling_ae_title=arrived.calling_ae_title,
        )


def _finish(arrived: Arrived) -> None:
    restore(arrived.arriving, arrived.path)
    forget(arrived.arriving)
