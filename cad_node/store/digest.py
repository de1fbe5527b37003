"""What tells whether a received file is still what it was, and whether two are the same: a digest, which names its own kind."""

import hashlib
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

PREAMBLE_BYTES = 128  # PS3.10 7.1

_BLAKE3, _SHA256 = "blake3", "sha256"
_META_START = 144  # bytes: preamble, prefix and the element that says how long the File Meta Information is
_PIECE_BYTES = 1 << 18
_SAID = struct.Struct(">16sQL32s")  # what wrote it, bytes in all, CRC-32 of what lies between preamble and data set, BLAKE3 of this
_WRITTEN_BY = b"cad_node arrived"


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


def kind_of(digest: str) -> str:
    """Digests of two kinds can't be compared."""
    return digest.partition(":")[0]


def is_as(path: Path, digest: str) -> bool:
    """Whether a received file has this digest, and the rest of it is as it says; what an earlier release received has SHA-256, of all."""
    if kind_of(digest) == _SHA256:
        with path.open("rb") as file:
            return f"{_SHA256}:{hashlib.file_digest(file, _SHA256).hexdigest()}" == digest
    return said_digest(path) in {digest, None} and digest_of(path) == digest


def preamble(size: int, head: bytes, data_set: blake3) -> bytes:
    """What a file says of itself. size: of the whole; head: what lies between preamble and data set."""
    return _SAID.pack(_WRITTEN_BY, size, zlib.crc32(head), data_set.digest()).ljust(PREAMBLE_BYTES, b"\0")


def said_digest(path: Path) -> str | None:
    """The digest that a file says it has; empty if it isn't as long, or its head not such, as it says. None: it says nothing."""
    with path.open("rb") as file:
        start = head_bytes(file)
        file.seek(0)
        said, head = file.read(PREAMBLE_BYTES), file.read(start - PREAMBLE_BYTES)
    if len(said) < PREAMBLE_BYTES or not said.startswith(_WRITTEN_BY):
        return None
    _, size, crc, data_set = _SAID.unpack_from(said)
    return f"{_BLAKE3}:{data_set.hex()}" if (size, crc) == (path.stat().st_size, zlib.crc32(head)) else ""


def head_bytes(file: BinaryIO) -> int:
    """Where the data set begins: behind the File Meta Information, whose first element says how long it is; else behind the preamble."""
    file.seek(0)
    head = file.read(_META_START)
    is_part_10 = len(head) == _META_START and head[PREAMBLE_BYTES:].startswith(b"DICM")
    return min(_META_START + int.from_bytes(head[-4:], "little"), os.fstat(file.fileno()).st_size) if is_part_10 else PREAMBLE_BYTES
