"""Store and forward: from the audit log to a collector, with a durable mark of how far it came.

A record is sent at least once: the mark moves after the collector has it.
"""

import fcntl
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from cad_node.audit.reading import START, Mark, records_after
from cad_node.audit.record import Record
from cad_node.log import get_logger

log = get_logger()

_BATCH = 200
_MARK = "forwarded.json"


def read_mark(folder: Path) -> Mark:
    """How far the log in `folder` was forwarded; where that can't be read, all of it is sent once more."""
    try:
        return Mark(**json.loads((folder / _MARK).read_bytes()))
    except FileNotFoundError:
        return START
    except (ValueError, TypeError):
        log.error("audit.mark_unreadable", file=_MARK)
        return START


def forwarded_anchor(folder: Path) -> Mapping[int, str]:
    """The mark as an anchor for `verify`: what was sent must still be there."""
    mark = read_mark(folder)
    return {mark.sequence: mark.hash} if mark.sequence else {}


class Forwarder:
    """Sends the log in `folder`; where several processes try, one does."""

    def __init__(self, folder: Path, to_syslog: Callable[[Record], bytes], send: Callable[[Sequence[bytes]], None]) -> None:
        self._folder = folder
        self._to_syslog = to_syslog
        self._send = send

    def forward(self) -> bool:
        """Send a batch of what is new. False: nothing to do. Raises what `send` raises."""
        lock_file = os.open(self._folder / "forwarding", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return self._forward_alone()
        except BlockingIOError:
            return False
        finally:
            os.close(lock_file)

    def _forward_alone(self) -> bool:
        batch = list(islice(records_after(self._folder, read_mark(self._folder)), _BATCH))
        if not batch:
            return False
        self._send([self._to_syslog(record) for _, record in batch])
        mark, _ = batch[-1]
        self._write_mark(mark)
        log.info("audit.forwarded", records=len(batch), up_to=mark.sequence)
        return True

    def _write_mark(self, mark: Mark) -> None:
        temporary = self._folder / f"{_MARK}.new"
        with temporary.open("w") as file:
            json.dump(asdict(mark), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._folder / _MARK)
