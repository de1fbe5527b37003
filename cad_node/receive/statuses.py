"""Why an instance isn't taken, and the C-STORE status that says so to the sender."""

from collections.abc import Mapping
from typing import NamedTuple

from cad_node.disk import OutOfSpace
from cad_node.errors import CadNodeError
from cad_node.store.spool import InvalidUid
from cad_node.store.studies import UidTaken


class UnparseableDataset(CadNodeError):
    """The bytes aren't a data set in the transfer syntax they came in."""


class MismatchedDataset(CadNodeError):
    """The data set isn't the SOP Instance that the command announced."""


class StoreStatus(NamedTuple):
    code: int
    comment: str  # Error Comment (0000,0902): LO, 64 characters at most, never anything of a patient


SUCCESS = StoreStatus(0x0000, "")

# PS3.4 Table B.2-1: A7xx out of resources, A9xx data set doesn't match SOP class, Cxxx cannot understand.
# Senders try again after A7xx and give up after Cxxx: whatever may pass, such as a database that is away, is out of resources.
# docs/conformance.md is made from this table. The first row whose class the error has, counts.
STORE_STATUSES: Mapping[type[Exception], StoreStatus] = {
    OutOfSpace: StoreStatus(0xA700, "Out of resources: not enough free space"),
    OSError: StoreStatus(0xA700, "Out of resources for now; send it again later"),  # and every error of ours that is retryable
    MismatchedDataset: StoreStatus(0xA900, "SOP Class or Instance UID differs from that of the command"),
    UnparseableDataset: StoreStatus(0xC000, "The data set can't be parsed in its transfer syntax"),
    InvalidUid: StoreStatus(0xC010, "Study, Series or SOP Instance UID is missing or isn't a UID"),
    UidTaken: StoreStatus(0xC020, "Another content is stored under this SOP Instance UID"),
    Exception: StoreStatus(0xC0FF, "Processing failure; the instance isn't stored, send it again"),
}


def status_of(error: Exception) -> StoreStatus:
    """The status that answers `error`."""
    may_pass = isinstance(error, CadNodeError) and error.retryable
    return next(status for kind, status in STORE_STATUSES.items() if isinstance(error, kind) or (may_pass and kind is OSError))
