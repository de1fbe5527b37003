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
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import BinaryIO

from cad_node.errors import CadNodeError


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
_META_START = 144  # bytes: preamble, prefix and the element that says how long the File Meta Information is


@dataclass(frozen=True, slots=True)
class Placed:
    path: Path
    sha256: str
    outcome: Placement


class Spool:
    """The folder of received instances: instances/<study>/<series>/<SOP instance>.dcm, conflicts/ and tmp/."""

    def __init__(self, root: Path, min_free_mb: int) -> None:
        self._root = root.resolve()  # stored paths hold wherever a process is started
        self._min_free_bytes = min_free_mb * 1_000_000
        self._temporary = self._root / "tmp"
        self._conflicts = self._root / "conflicts"
        for folder in (self._temporary, self._conflicts):
            _make_folder(folder)

    def has_room(self) -> bool:
        """Whether the free space is above the configured floor."""
        return shutil.disk_usage(self._root).free >= self._min_free_bytes

    def place(self, study_uid: str, series_uid: str, sop_uid: str, content: bytes | Iterable[bytes]) -> Placed:
        """Store one instance's file under its UIDs; it is durable on return.

        The first content of a UID stays: a second one is kept in conflicts/, never in its place. Which of them has the UID is the
        index's to say: the first may be a dead process's that never came so far. Two processes may place the
        same UID at once, the file system decides which is first.
        Raises InvalidUid, OutOfSpace.
        """
        for name, uid in (("Study Instance UID", study_uid), ("Series Instance UID", series_uid), ("SOP Instance UID", sop_uid)):
            check_uid(name, uid)
        final = self._root / "instances" / study_uid / series_uid / f"{sop_uid}.dcm"
        with _out_of_space_named(final), _temporary_file(self._temporary, content) as (temporary, sha256):
            _make_folder(final.parent)
            if _link(temporary, final):
                return Placed(final, sha256, NEW)
            content_sha256 = _data_set_sha256(temporary)
            if content_sha256 == _data_set_sha256(final):
                return Placed(final, _sha256_of(final), SAME)
            aside = self._conflicts / f"{sop_uid}.{content_sha256[:16]}.dcm"
            new = _link(temporary, aside)
            return Placed(aside, sha256 if new else _sha256_of(aside), CONFLICT)

    def clear_temporary(self) -> None:
        """Remove what a killed process left half-written."""
        clear_temporary(self._temporary)


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


def _link(temporary: Path, final: Path) -> bool:
    """Give the file its final name unless the name is taken; True: given. Durable either way."""
    try:
        os.link(temporary, final)
    except FileExistsError:
        return False
    finally:
        _sync_folder(final.parent)  # also where the name was taken: its process may not have come so far
    return True


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
