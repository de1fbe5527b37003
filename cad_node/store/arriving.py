"""Files that are being received: durable by one flush each, and told apart from torn ones by what they say of themselves.

Each process has a folder of its own in arriving/, locked while it lives. Files there have their names before anything is known of
them, many at a time, so that no instance waits until its name is durable. When all of a file has come, its preamble says so: how
much, and with which digest. What a dead process leaves is either as its preamble says, or nobody was told that it exists.

An image goes to the disk in one write, past the system's cache, which is durable when it returns. That costs half the time of a write
and a flush. What doesn't fit into memory goes through the cache, and is flushed at the end.
"""

import errno
import fcntl
import itertools
import os
import re
import shutil
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from blake3 import blake3

from cad_node.disk import make_folder, out_of_space_named, sync_folder
from cad_node.store.digest import PREAMBLE_BYTES, is_as, preamble, said_digest

_LOCK = "lock"
_SUFFIX = ".arriving"  # no other, so that nobody takes a file that is yet to come for an instance
_NAMED_AT_ONCE = 32
BLOCK_BYTES = 4096  # what is written past the cache begins and ends with one; also a page
_NOT_PAST_THE_CACHE = frozenset({errno.EINVAL, errno.EOPNOTSUPP})
_NAMED_BY_DIGEST = re.compile(r"\d+\.([0-9a-f]{64})\.dcm").fullmatch  # an earlier release's files say it so
_MOST_PIECES = os.sysconf("SC_IOV_MAX")


class ArrivingFolder:
    """This process's folder in arriving/; threads may share it."""

    def __init__(self, arriving: Path, *, durable: bool) -> None:
        self._arriving, self._durable = arriving, durable
        self._own = arriving / uuid.uuid4().hex
        locked = self._own.with_name(f".{self._own.name}")  # nobody looks there until it is locked
        make_folder(locked)
        self._lock = os.open(locked / _LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        locked.rename(self._own)
        sync_folder(arriving)
        self._numbers = itertools.count()
        self._named: deque[ArrivingFile] = deque()
        self._naming = threading.Lock()

    def close(self) -> None:
        """Give up the folder; what lies there is the next process's to take over."""
        with self._naming:
            while self._named:
                self._named.pop().discard()
        os.close(self._lock)

    def new_file(self) -> "ArrivingFile":
        """A new file to be written. Raises OutOfSpace."""
        while True:
            try:
                return self._named.popleft()
            except IndexError:
                self._name_some()

    def left_behind(self) -> Iterator[tuple[Path, str]]:
        """The complete files of processes that are dead, and their digests; what they hadn't finished is removed.

        The caller sees to it that each is indexed, and forgets it; folders that are empty go.
        """
        for folder in self._arriving.iterdir():
            if folder == self._own or folder.name.startswith(".") or not _is_abandoned(folder):
                continue
            for path in sorted(folder.iterdir()):
                if path.name == _LOCK:
                    continue
                if digest := _digest_if_complete(path):
                    yield path, digest
                else:
                    path.unlink()
            if not any(path.name != _LOCK for path in folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)

    def _name_some(self) -> None:
        with self._naming, out_of_space_named(self._own):
            if self._named:
                return
            files: list[ArrivingFile] = []
            try:
                files.extend(self._named_file() for _ in range(_NAMED_AT_ONCE))
            except OSError:
                if not files:  # else these do for now
                    raise
            try:
                if self._durable:
                    sync_folder(self._own)
            except BaseException:
                for file in files:
                    with suppress(OSError):
                        file.discard()
                raise
            self._named.extend(files)

    def _named_file(self) -> "ArrivingFile":
        return ArrivingFile(self._own / f"{next(self._numbers)}{_SUFFIX}", durable=self._durable)


class ArrivingFile:
    """A file that is being received: a preamble, whose use is the implementation's, PS3.10 7.1, and behind it what is written."""

    __slots__ = ("_descriptor", "_durable", "_is_past_the_cache", "_size", "path")

    def __init__(self, path: Path, *, durable: bool) -> None:
        self.path, self._durable = path, durable
        self._size = PREAMBLE_BYTES
        self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._is_past_the_cache = durable and self._switch_cache(os.O_DIRECT)

    def write(self, *pieces: bytes | memoryview) -> None:
        """Append. Raises OutOfSpace."""
        if self._is_past_the_cache:
            self._is_past_the_cache = not self._switch_cache(0)
        with out_of_space_named(self.path):
            for start in range(0, len(pieces), _MOST_PIECES):
                self._append(pieces[start : start + _MOST_PIECES])
        if self._durable:  # the disk begins meanwhile; not with the first page, which the preamble is yet to change
            os.posix_fadvise(self._descriptor, BLOCK_BYTES, 0, os.POSIX_FADV_DONTNEED)

    def read_at(self, offset: int, size: int) -> bytes:
        """What is written there, the preamble not counted."""
        return os.pread(self._descriptor, size, PREAMBLE_BYTES + offset)

    def complete(self, head: bytes, data_set: blake3) -> None:
        """No more is written: the file is whole, and durable, from now on.

        head: what was written before the data set. Raises OutOfSpace, FileNotFoundError.
        """
        with out_of_space_named(self.path):
            os.pwrite(self._descriptor, preamble(self._size, head, data_set), 0)
            if self._durable:
                os.fdatasync(self._descriptor)
        self._end()

    def complete_at_once(self, whole: memoryview, head: bytes, data_set: blake3) -> None:
        """Write the whole file, which is so many blocks, from the preamble on. Raises OutOfSpace, FileNotFoundError."""
        whole[:PREAMBLE_BYTES] = preamble(len(whole), head, data_set)
        if self._is_past_the_cache and self._write_past_the_cache(whole):
            self._end()
        else:
            self.write(whole[PREAMBLE_BYTES:])
            self.complete(head, data_set)

    def discard(self) -> None:
        """Nothing of it stays under this name."""
        self._close()
        forget(self.path)

    def _append(self, pieces: Sequence[bytes | memoryview]) -> None:
        wanted = sum(map(len, pieces))
        written = os.pwritev(self._descriptor, pieces, self._size)
        rest = memoryview(b"".join(pieces)) if written < wanted else memoryview(b"")
        while written < wanted:
            written += os.pwrite(self._descriptor, rest[written:], self._size + written)
        self._size += wanted

    def _write_past_the_cache(self, whole: memoryview) -> bool:
        """Whether all is written, and durable; a disk that is nearly full takes a part, and some file systems take none."""
        with out_of_space_named(self.path):
            try:
                return os.pwritev(self._descriptor, [whole], 0, os.RWF_DSYNC) == len(whole)
            except OSError as exc:
                if exc.errno not in _NOT_PAST_THE_CACHE:
                    raise
                return False

    def _switch_cache(self, flag: int) -> bool:
        """O_DIRECT: write past the cache. 0: through it. Whether the file system does so."""
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flag)
        except OSError:
            return False
        return True

    def _end(self) -> None:
        """Raises FileNotFoundError: its name was taken away meanwhile, and with it the file."""
        if not os.fstat(self._descriptor).st_nlink:
            raise FileNotFoundError(errno.ENOENT, "the spool's arriving/ was removed; start again")
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def forget(arriving: Path) -> None:
    """Remove a file's name in arriving/: it is indexed, or isn't wanted."""
    arriving.unlink(missing_ok=True)


def _digest_if_complete(path: Path) -> str:
    """The digest of a file that is what it says of itself; empty of another, which was never acknowledged."""
    name = _NAMED_BY_DIGEST(path.name)
    digest = f"sha256:{name[1]}" if name else said_digest(path)
    return digest if digest and is_as(path, digest) else ""


def _is_abandoned(folder: Path) -> bool:
    """Whether the process that the folder belongs to is gone."""
    try:
        with (folder / _LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
    return True
