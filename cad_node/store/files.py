"""Received files and result files: whole or absent, and durable before anyone is told that they exist."""

import errno
import fcntl
import hashlib
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
_KNOWN = "known-"  # prefix of an instance's name in arriving/ that lay under its final name before
_MOST_SYNCED = 10_000  # folders remembered
_META_START = 144  # bytes: preamble, prefix and the element that says how long the File Meta Information is


class Placed(NamedTuple):
    path: Path
    outcome: Placement


class Spool:
    """The folder of received instances: instances/<study>/<series>/<SOP instance>.dcm, conflicts/, and arriving/.

    Each process has a folder of its own in arriving/, locked while it lives. A file is written there first and then gets its
    final name as well; the first name goes when the index knows the instance. So what a dead process leaves in its folder is
    either half-written, and nobody was told that it exists, or placed and perhaps not indexed.
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
        self._lock = (locked / _LOCK).open("xb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        locked.rename(self._own)
        _sync_folder(self._own.parent)
        self._synced: set[Path] = set()  # folders whose names are durable
        self._own_descriptor = os.open(self._own, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        """Give up this process's folder in arriving/; what lies there is the next one's to take over."""
        os.close(self._own_descriptor)
        self._lock.close()

    def has_room(self, size_bytes: int = 0) -> bool:
        """Whether the free space is above the configured floor, with `size_bytes` more."""
        return self._room.has_room(size_bytes)

    def arriving(self) -> "ArrivingFile":
        """A new file to be written. Raises OutOfSpace."""
        with _out_of_space_named(self._own):
            return ArrivingFile(self._own / f"{uuid.uuid4().hex}.dcm")

    def place(self, file: "ArrivingFile", study_uid: str, series_uid: str, sop_uid: str) -> Placed:
        """Store a written file under its UIDs; it is durable on return, and its first name stays until forget().

        The first content of a UID stays: a second one is kept in conflicts/, never in its place. Which of them has the UID is the
        index's to say: the first may be a dead process's that never came so far. Two processes may place the
        same UID at once, the file system decides which is first.
        Raises InvalidUid, OutOfSpace.
        """
        final = self.path_of(study_uid, series_uid, sop_uid)
        with _out_of_space_named(final):
            file.close(durable=self._durable)
            if self._link(file.path, final):
                return Placed(final, NEW)
            content_sha256 = _data_set_sha256(file.path)
            if self._is_at(final, file, content_sha256):
                return Placed(final, SAME)
            aside = self._conflicts / f"{sop_uid}.{content_sha256[:16]}.dcm"
            if not self._link(file.path, aside):
                self._is_at(aside, file, content_sha256)
            return Placed(aside, CONFLICT)

    def _link(self, arriving: Path, final: Path) -> bool:
        """Give a file its final name as well unless the name is taken; True: given. Durable either way, and so is its first name."""
        given = self._link_once(arriving, final)
        if self._durable:
            _sync_folder(final.parent)  # also where the name was taken: its process may not have come so far
            self._sync_above(final.parent)
            os.fsync(self._own_descriptor)
        return given

    def _link_once(self, arriving: Path, final: Path) -> bool:
        while True:
            try:
                os.link(arriving, final)
            except FileExistsError:
                return False
            except FileNotFoundError:  # the first of its series; or its folder is being removed
                self._synced.discard(final.parent)
                _make_folder(final.parent)
            else:
                return True

    def _sync_above(self, folder: Path) -> None:
        """Make the folder's own name durable: another thread or process may have made it, and not have come so far."""
        if folder in self._synced:
            return
        for above in folder.relative_to(self._root).parents:
            _sync_folder(self._root / above)
        if len(self._synced) >= _MOST_SYNCED:
            self._synced.clear()
        self._synced.add(folder)

    def _is_at(self, final: Path, file: "ArrivingFile", content_sha256: str) -> bool:
        """Whether the same instance has this name. Then it is what arrives, by one name more: if the name is being removed, because the
        instance came long ago, this one stays until the instance is indexed anew."""
        known = file.path.with_name(f"{_KNOWN}{file.path.name}")
        os.link(final, known)
        if _data_set_sha256(known) != content_sha256:
            known.unlink()
            return False
        forget(file.path)
        file.path = known
        if self._durable:
            os.fsync(self._own_descriptor)
        return True

    def path_of(self, study_uid: str, series_uid: str, sop_uid: str) -> Path:
        """Where an instance lies. Raises InvalidUid."""
        for name, uid in (("Study Instance UID", study_uid), ("Series Instance UID", series_uid), ("SOP Instance UID", sop_uid)):
            check_uid(name, uid)
        return self._root / "instances" / study_uid / series_uid / f"{sop_uid}.dcm"

    def left_behind(self) -> Iterator[Path]:
        """The files in arriving/ that dead processes placed; what they hadn't finished is removed.

        The caller sees to it that each is indexed, and forgets it; folders that are empty go.
        """
        for folder in (self._root / "arriving").iterdir():
            if folder == self._own or folder.name.startswith(".") or not _is_abandoned(folder):
                continue
            for path in sorted(folder.glob("*.dcm")):
                if path.stat().st_nlink > 1 or path.name.startswith(_KNOWN):
                    yield path
                else:
                    path.unlink()
            if not any(folder.glob("*.dcm")):
                shutil.rmtree(folder, ignore_errors=True)


class ArrivingFile:
    """A file that is being received."""

    __slots__ = ("_descriptor", "path", "size")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0  # bytes
        self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def write(self, *chunks: bytes | memoryview) -> None:
        """Append. Raises OutOfSpace."""
        with _out_of_space_named(self.path):
            written = os.writev(self._descriptor, chunks)
            wanted = sum(map(len, chunks))
            self.size += written
            rest = memoryview(b"".join(chunks)) if written < wanted else memoryview(b"")
            while written < wanted:  # a disk that is nearly full takes a part, and then says so
                more = os.write(self._descriptor, rest[written:])
                self.size += more
                written += more

    def read_at(self, offset: int, size: int) -> bytes:
        """What is written there."""
        return os.pread(self._descriptor, size, offset)

    def close(self, *, durable: bool) -> None:
        """No more is written; what was is on the disk if `durable`."""
        if self._descriptor < 0:
            return
        try:
            if durable:
                os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        """Nothing of it stays under this name."""
        self.close(durable=False)
        forget(self.path)


def restore(arriving: Path, final: Path) -> None:
    """Give an instance that is indexed its final name again, where a removal of what lay there before has taken it meanwhile."""
    if not final.exists():
        _make_folder(final.parent)
        with suppress(FileExistsError):
            os.link(arriving, final)
        _sync_folder(final.parent)


def forget(arriving: Path) -> None:
    """Remove a file's name in arriving/: it is indexed, or isn't wanted."""
    arriving.unlink(missing_ok=True)


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
