"""What is said in Storage Commitment, PS3.4 J: which instances, and which of them are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Reference(NamedTuple):
    """An instance that someone is to keep."""

    sop_class_uid: str
    sop_instance_uid: str


class FailureReason(IntEnum):
    """Why an instance isn't committed: Failure Reason (0008,1197), PS3.3 C.14.1.1."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    CLASS_NOT_SUPPORTED = 0x0122
    DUPLICATE_TRANSACTION = 0x0131
    RESOURCE_LIMITATION = 0x0213


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to one request."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: Mapping[Reference, int]  # with the Failure Reason, which may be one that the standard doesn't know


def meaning_of(failure_reason: int) -> str:
    """A Failure Reason in hex and in words."""
    words = {int(known): known.name.lower().replace("_", " ") for known in FailureReason}
    return f"0x{failure_reason:04X} {words.get(failure_reason, 'unknown failure reason')}"
