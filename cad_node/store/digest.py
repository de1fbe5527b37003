"""What tells whether a received file is still what it was, and whether two are the same: a digest, which names its own kind."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

PREAMBLE_BYTES = 128  # PS3.10 7.1

_BLAKE3, _SHA256 = "blake3", "sha256"
_META_START = 144  # bytes: preamble, prefix and the element that says how long the File Meta Information is
_PIECE_BYTES = 1 << 18


def named(data_set: blake3) -> str:
    """The digest of a data set, with the name of its kind."""
    return f"{_BLAKE3}:{data_set.hexdigest()}"


def digest_of(path: Path) -> str:
    """Of a received file's data set; the File Meta Information names the sender, and so isn't part of the content, PS3.10 7.1."""
    with path.open("rb") as file:
        file.seek(head_bytes(file))
        data_set = blake3()
        while piece := file.read(_PIECE_BYTES):
            data_set.update(piece)
    return named(data_set)


def is_as(path: Path, digest: str) -> bool:
    """Whether a received file has this digest; one that an earlier release received has SHA-256, of the whole file."""
    kind, _, expected = digest.partition(":")
    if kind != _SHA256:
        return digest_of(path) == digest
    with path.open("rb") as file:
        return hashlib.file_digest(file, _SHA256).hexdigest() == expected


def head_bytes(file: BinaryIO) -> int:
    """Where the data set begins: behind the File Meta Information, whose first element says how long it is; else behind the preamble."""
    file.seek(0)
    head = file.read(_META_START)
    is_part_10 = len(head) == _META_START and head[PREAMBLE_BYTES:].startswith(b"DICM")
    return min(_META_START + int.from_bytes(head[-4:], "little"), os.fstat(file.fileno()).st_size) if is_part_10 else PREAMBLE_BYTES
