"""A file's whole way into the spool, as an instance goes it."""

from pathlib import Path

from blake3 import blake3

from cad_node.store.arriving import ArrivingFile, forget
from cad_node.store.digest import PREAMBLE_BYTES, named
from cad_node.store.spool import Placed, Spool


def place(spool: Spool, study_uid: str, series_uid: str, sop_uid: str, *pieces: bytes, head: bytes = b"") -> Placed:
    """Write, complete and place a file of these pieces."""
    final = spool.path_of(study_uid, series_uid, sop_uid)
    file = spool.arriving()
    try:
        digest = fill(file, *pieces, head=head)
    except BaseException:
        file.discard()
        raise
    placed = spool.place(file.path, digest, final)
    spool.sync([placed.path])
    forget(file.path)
    return placed


def fill(file: ArrivingFile, *pieces: bytes, head: bytes = b"") -> str:
    """Write and complete a file; its digest."""
    file.write(head, *pieces)
    data_set = blake3(b"".join(pieces))
    file.complete(head, data_set)
    return named(data_set)


def content(path: Path) -> bytes:
    """What was written, without the preamble."""
    return path.read_bytes()[PREAMBLE_BYTES:]


def everything_in(folder: Path) -> list[Path]:
    """But for the locks of live processes, and for names of files that are yet to come."""
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
