"""What is asked of the disk, and that it has no room said so."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cad_node.errors import CadNodeError


class OutOfSpace(CadNodeError):
    """No room on the disk, or none left of a quota."""

    retryable = True


@contextmanager
def out_of_space_named(path: Path) -> Iterator[None]:
    """Raise OutOfSpace where the disk has no room for `path`."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise OutOfSpace(f"{path.name}: {os.strerror(exc.errno)}; free some space, then send it again") from exc


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, each durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
