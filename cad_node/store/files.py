"""Result files: whole or absent, and durable before anyone is told that they exist."""

import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cad_node.disk import make_folder, out_of_space_named, sync_folder

_TEMPORARY = ".tmp"  # suffix


def write_durably(path: Path, content: bytes) -> str:
    """Write a whole file or none, replacing one that is there; durable on return. Returns its SHA-256. Raises OutOfSpace."""
    with out_of_space_named(path):
        make_folder(path.parent)
        with _temporary_file(path.parent, content) as temporary:
            temporary.replace(path)
            sync_folder(path.parent)
    return hashlib.sha256(content).hexdigest()


def clear_temporary(folder: Path) -> None:
    """Remove what killed processes left half-written anywhere under `folder`; files that a live process is writing stay."""
    for path in folder.rglob(f".*{_TEMPORARY}"):
        with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


@contextmanager
def _temporary_file(folder: Path, content: bytes) -> Iterator[Path]:
    """A durable file of `content` under a name of its own; the name is gone afterwards."""
    path = folder / f".{uuid.uuid4().hex}{_TEMPORARY}"
    try:
        with path.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # tells clear_temporary of another process that this one is alive
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            yield path
    finally:
        path.unlink(missing_ok=True)
