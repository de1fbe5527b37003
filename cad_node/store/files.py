"""Received files and result files: whole or absent, and durable before anyone is told that they exist."""

import errno
import fcntl
import hashlib
import itertools
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cad_node.errors import CadNodeError
from cad_node.store.room import Room


class OutOfSpace(CadNodeError):
    """No room on the disk, or none left of a quota."""

    retryable = True


class InvalidUid(CadNodeError):
    """Not a UID, so it can't become part of a path. The value isn't repeated: it can be anything."""


class Placement(Enum):
    NEW = auto()
    SAME = auto()  # this instance was there already: the same data set, whoever sent it
    CONFLICT = auto()  # another content lies under this SOP Instance UID; this one is kept aside


NEW, SAME, CONFLICT = Placement

_TEMPORARY = ".tmp"  # suffix
_LOCK = "lock"
_UNFINISHED = ".part"  # suffix
_MOST_SYNCED = 1000  # folders remembered
_META_START = 144  # bytes: preamble, prefix and the element that says how long the File Meta Information is


class Placed(NamedTuple):
    path: Path
    outcome: Placement
    sha256: str  # of what lies there


class Spool:
    """The folder of received instances: instances/<study>/<series>/<SOP instance>.dcm, conflicts/, and arriving/.

    Each process has a folder of its own in arriving/, locked while it lives. A file is written there, and is named after its SHA-256
    when it is complete; whoever sent it may then be told that it is stored. It gets its final name afterwards, and loses the first
    one when the index knows the instance. So what a dead process leaves is either as its name says, and perhaps not indexed, or
    nobody was told that it exists.
    """

    def __init__(self, root: Path, min_free_mb: int, *, durable: bool = True) -> None:
        """durable: False leaves it to the operating system when content reaches the disk."""
        self._root = root.resolve()  # stored paths hold wherever a process is started
        self._durable = durable
        self._room = Room(self._root, min_free_mb * 1_000_000)
        self._conflicts = self._root / "conflicts"
        self._own = self._root / "arriving" / uuid.uuid4().hex
        locked = self._own.with_name(f".{self._own.name}")  # nobody looks there until it is locked
        for folder in (self._conflicts, locked):
            _make_folder(folder)
        self._lock = os.open(locked / _LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        locked.rename(self._own)
        _sync_folder(self._own.parent)
        self._own_descriptor = os.open(self._own, os.O_RDONLY | os.O_DIRECTORY)
        self._numbers = itertools.count()
        self._synced: set[Path] = set()  # folders whose own names are durable

    def close(self) -> None:
        """Give up this process's folder in arriving/; what lies there is the next one's to take over."""
        os.close(self._own_descriptor)
        os.close(self._lock)

    def has_room(self, size_bytes: int = 0) -> bool:
        """Whether the free space is above the configured floor, with `size_bytes` more."""
        return self._room.has_room(size_bytes)

    def arriving(self) -> "ArrivingFile":
        """A new file to be written. Raises OutOfSpace."""
        with _out_of_space_named(self._own):
            return ArrivingFile(self._own / f"{next(self._numbers)}{_UNFINISHED}", self._own_descriptor if self._durable else None)

    def path_of(self, study_uid: str, series_uid: str, sop_uid: str) -> Path:
        """Where an instance lies. Raises InvalidUid."""
        for name, uid in (("Study Instance UID", study_uid), ("Series Instance UID", series_uid), ("SOP Instance UID", sop_uid)):
            check_uid(name, uid)
        return self._root / "instances" / study_uid / series_uid / f"{sop_uid}.dcm"

    def place(self, arriving: Path, final: Path) -> Placed:
        """Give a complete file its final name as well; the name is durable after sync().

        The first content of a UID stays: a second one is kept in conflicts/, never in its place. Which of them has the UID is the
        index's to say: the first may be a dead process's that never came so far. Two processes may place the
        same UID at once, the file system decides which is first.
        Raises OutOfSpace.
        """
        with _out_of_space_named(final):
            if _link(arriving, final) or final.samefile(arriving):
                return Placed(final, NEW, sha256_in(arriving))
            content_sha256 = _data_set_sha256(arriving)
            if content_sha256 == _data_set_sha256(final):
                return Placed(final, SAME, sha256_of(final))
            aside = self._conflicts / f"{final.stem}.{content_sha256[:16]}.dcm"
            _link(arriving, aside)
            return Placed(aside, CONFLICT, sha256_of(aside))

    def sync(self, placed: Iterable[Path]) -> None:
        """Make final names durable, and those of the folders they are in."""
        if not self._durable:
            return
        for folder in {path.parent for path in placed}:
            _sync_folder(folder)
            if folder not in self._synced:  # another thread or process may have made it, and not have come so far
                for above in folder.relative_to(self._root).parents:
                    _sync_folder(self._root / above)
                self._synced = {*itertools.islice(self._synced, _MOST_SYNCED), folder}

    def left_behind(self) -> Iterator[Path]:
        """The complete files in arriving/ of processes that are dead; what they hadn't finished is removed.

        The caller sees to it that each is indexed, and forgets it; folders that are empty go.
        """
        for folder in (self._root / "arriving").iterdir():
            if folder == self._own or folder.name.startswith(".") or not _is_abandoned(folder):
                continue
            for path in sorted(folder.iterdir()):
                if _is_complete(path):
                    yield path
                elif path.name != _LOCK:
                    path.unlink()
            if not any(path.name != _LOCK for path in folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)


class ArrivingFile:
    """A file that is being received."""

    __slots__ = ("_descriptor", "_digest", "_folder", "path")

    def __init__(self, path: Path, folder: int | None) -> None:
        """folder: the descriptor of the one it is in, where it has to be durable."""
        self.path = path
        self._digest = hashlib.sha256()
        self._folder = folder
        self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def write(self, *chunks: bytes | memoryview) -> None:
        """Append. Raises OutOfSpace."""
        with _out_of_space_named(self.path):
            written = os.writev(self._descriptor, chunks)
            wanted = sum(map(len, chunks))
            rest = memoryview(b"".join(chunks)) if written < wanted else memoryview(b"")
            while written < wanted:  # a disk that is nearly full takes a part, and then says so
                written += os.write(self._descriptor, rest[written:])
        for chunk in chunks:
            self._digest.update(chunk)

    def read_at(self, offset: int, size: int) -> bytes:
        """What is written there."""
        return os.pread(self._descriptor, size, offset)

    def complete(self) -> None:
        """No more is written: the file is whole, and durable, from now on. Raises OutOfSpace."""
        with _out_of_space_named(self.path):
            complete = self.path.with_name(f"{self.path.stem}.{self._digest.hexdigest()}.dcm")
            self.path.rename(complete)  # before the content is: one write to the disk for both, and a torn file differs from its name
            self.path = complete
            if self._folder is not None:
                os.fsync(self._descriptor)
                os.fsync(self._folder)
        self._close()

    def discard(self) -> None:
        """Nothing of it stays under this name."""
        self._close()
        forget(self.path)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def restore(arriving: Path, final: Path) -> None:
    """Give an instance that is indexed its final name again, where a removal of what lay there before has taken it meanwhile."""
    if not final.exists():
        _link(arriving, final)
        _sync_folder(final.parent)


def forget(arriving: Path) -> None:
    """Remove a file's name in arriving/: it is indexed, or isn't wanted."""
    arriving.unlink(missing_ok=True)


def sha256_in(arriving: Path) -> str:
    """The SHA-256 that the name of a complete file in arriving/ tells."""
    return arriving.suffixes[-2].removeprefix(".")


def sha256_of(path: Path) -> str:
    """Of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: Path, content: bytes) -> str:
    """Write a whole file or none, replacing one that is there; durable on return. Returns its SHA-256. Raises OutOfSpace."""
    with _out_of_space_named(path):
        _make_folder(path.parent)
        with _temporary_file(path.parent, content) as (temporary, sha256):
            temporary.replace(path)
            _sync_folder(path.parent)
    return sha256


def clear_temporary(folder: Path) -> None:
    """Remove what killed processes left half-written anywhere under `folder`; files that a live process is writing stay."""
    for path in folder.rglob(f".*{_TEMPORARY}"):
        with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def check_uid(name: str, uid: str) -> None:
    """Raise InvalidUid unless `uid` is digits and single dots, at most 64 characters: PS3.5 9.1.

    Leading zeros of a component pass, which the standard forbids and devices write.
    """
    if len(uid) > 64 or not re.fullmatch(r"[0-9]+(\.[0-9]+)*", uid, re.ASCII):
        raise InvalidUid(f"{name} of {len(uid)} characters isn't a UID: digits and dots, at most 64 characters, PS3.5 9.1")


@contextmanager
def _out_of_space_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise OutOfSpace(f"{path.name}: {os.strerror(exc.errno)}; free some space, then send it again") from exc


@contextmanager
def _temporary_file(folder: Path, content: bytes | Iterable[bytes]) -> Iterator[tuple[Path, str]]:
    """A durable file of `content` under a name of its own, and its SHA-256; the name is gone afterwards."""
    path = folder / f".{uuid.uuid4().hex}{_TEMPORARY}"
    try:
        with path.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # tells clear_temporary of another process that this one is alive
            sha256 = _write(file, [content] if isinstance(content, bytes) else content)
            yield path, sha256
    finally:
        path.unlink(missing_ok=True)


def _write(file: BinaryIO, chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        file.write(chunk)
    file.flush()
    os.fsync(file.fileno())
    return digest.hexdigest()


def _link(arriving: Path, final: Path) -> bool:
    """Give a file another name unless that is taken; True: given."""
    while True:
        try:
            os.link(arriving, final)
        except FileExistsError:
            return False
        except FileNotFoundError:  # the first of its series; or its folder is being removed
            _make_folder(final.parent)
        else:
            return True


def _is_complete(path: Path) -> bool:
    """Whether a file in arriving/ is what its name says; another was never acknowledged."""
    return path.suffix == ".dcm" and sha256_of(path) == sha256_in(path)


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


def _data_set_sha256(path: Path) -> str:
    """Of what follows the File Meta Information, which names the sender and so isn't part of the content: PS3.10 7.1."""
    with path.open("rb") as file:
        head = file.read(_META_START)
        if head[128:132] == b"DICM" and len(head) == _META_START:
            file.seek(int.from_bytes(head[-4:], "little"), os.SEEK_CUR)
        else:
            file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make_folder(folder: Path) -> None:
    """Create a folder and its parents, each durably."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
