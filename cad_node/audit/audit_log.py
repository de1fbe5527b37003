"""The audit log on disk: hash-chained lines in numbered files, appended to by several processes.

What stands after the last line feed of a file was torn off by a death in mid-write. It stays there; the chain goes on in a new
file, whose first line names the SHA-256 of the torn bytes.
"""

import fcntl
import hashlib
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from cad_node.audit.record import GENESIS, NotARecord, Record, decode_record, encode_record

_NAME = re.compile(r"audit-(\d{6,})\.log")
_BLOCK_BYTES = 65_536


def log_files(folder: Path) -> list[Path]:
    """The files of the log in `folder`, oldest first."""
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), key=file_number)


def file_number(path: Path) -> int:
    """Its place among all files that the log ever had, from 1."""
    match = _NAME.fullmatch(path.name)
    assert match
    return int(match[1])


class AuditLog:
    """Appends to the log in `folder`, which other processes and threads may do as well.

    max_file_bytes: a file that has grown so large is followed by a new one.
    fsync: a record is on the disk before `append` returns; else only in the kernel, where a killed process can't lose it.
    """

    def __init__(self, folder: Path, max_file_bytes: int, *, fsync: bool) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._max_file_bytes = max_file_bytes
        self._fsync = fsync
        self._one_thread = threading.Lock()
        self._lock_file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)

    def append(self, message: str, time: datetime, *, durable: bool = True) -> Record:
        """Add a record. Where it need not be `durable` at once, the next one that is takes it along. Raises OSError."""
        with self._locked():
            files = log_files(self._folder)
            last, torn = _last_record(files)
            is_new = not files or bool(torn) or files[-1].stat().st_size >= self._max_file_bytes
            path = self._folder / f"audit-{file_number(files[-1]) + 1 if files else 1:06}.log" if is_new else files[-1]
            sequence, previous = (last.sequence + 1, last.hash) if last else (1, GENESIS)
            line = encode_record(sequence, time, previous, hashlib.sha256(torn).hexdigest() if torn else "", message)
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                _write_whole(file, line)
            except BaseException:
                os.close(file)
                raise
        try:
            if self._fsync and (durable or is_new):  # outside the lock: the file system joins the waits of several processes
                os.fsync(file)
                if is_new:
                    self._sync_before(path)
        finally:
            os.close(file)
        return decode_record(line)

    def close(self) -> None:
        os.close(self._lock_file)

    def _sync_before(self, path: Path) -> None:
        """Make the name of a new file durable, and what the file before it got without being durable at once."""
        for file in [self._folder, *[before for before in log_files(self._folder) if file_number(before) == file_number(path) - 1]]:
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._one_thread:  # the threads share the descriptor, and so the lock on it
            fcntl.flock(self._lock_file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)


def _last_record(files: Sequence[Path]) -> tuple[Record | None, bytes]:
    """The last record, and what was torn off since."""
    torn = b""
    for path in reversed(files):
        last, torn_here = _last_record_of(path)
        torn = torn_here + torn
        if last:
            return last, torn
    return None, torn


def _last_record_of(path: Path) -> tuple[Record | None, bytes]:
    """Read from the end; a line that was edited is passed over here, it is `verify` that finds it."""
    with path.open("rb") as file:
        size = start = file.seek(0, os.SEEK_END)
        torn = b""
        block = _BLOCK_BYTES
        while start > 0:
            start = max(0, size - block)
            file.seek(start)
            *lines, torn = file.read().split(b"\n")
            for line in reversed(lines):  # the first one may lack its beginning: then it is no record either
                with suppress(NotARecord):
                    return decode_record(line + b"\n"), torn
            block *= 4
    return None, torn


def _write_whole(file: int, line: bytes) -> None:
    """Write the line or, where the disk is full, nothing."""
    size = os.fstat(file).st_size
    try:
        written = os.write(file, line)
        while written < len(line):
            written += os.write(file, line[written:])
    except OSError:
        os.ftruncate(file, size)
        raise
