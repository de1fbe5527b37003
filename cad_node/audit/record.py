"""One line of the audit log: a message, its place in the chain, and the hash that the next line names."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

GENESIS = "0" * 64  # what the first line names

_HASH_NAME = b',"hash":"'
_END = b'"}\n'
_SUFFIX_BYTES = len(_HASH_NAME) + len(GENESIS) + len(_END)


class NotARecord(ValueError):
    """The bytes aren't a line that this software wrote."""


@dataclass(frozen=True, slots=True)
class Record:
    """sequence: from 1. previous, hash: SHA-256 of the line before and of this one. torn: of what a writer that died left between them."""

    sequence: int
    time: datetime
    previous: str
    torn: str
    message: str
    hash: str


def encode_record(sequence: int, time: datetime, previous: str, torn: str, message: str) -> bytes:
    """The line, with its line feed."""
    values = {"sequence": sequence, "time": time.isoformat(), "previous": previous, "torn": torn, "message": message}
    hashed = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()[:-1]
    return hashed + _HASH_NAME + hashlib.sha256(hashed).hexdigest().encode() + _END


def decode_record(line: bytes) -> Record:
    """The record of a line with its line feed. Raises NotARecord if any byte of it isn't what was written."""
    hashed, suffix = line[:-_SUFFIX_BYTES], line[-_SUFFIX_BYTES:]
    digest = hashlib.sha256(hashed).hexdigest()
    if suffix != _HASH_NAME + digest.encode() + _END:
        raise NotARecord("its hash isn't that of its content")
    try:
        values = json.loads(hashed + b"}")
        time = datetime.fromisoformat(values["time"])
        return Record(values["sequence"], time, values["previous"], values["torn"], values["message"], digest)
    except (ValueError, KeyError, TypeError) as exc:
        raise NotARecord("it isn't a line of an audit log") from exc
