"""Why an instance isn't taken, and the C-STORE status that says so to the sender."""

from collections.abc import Mapping
from typing import NamedTuple

from cad_node.errors import CadNodeError
from cad_node.store.files import InvalidUid, OutOfSpace
from cad_node.store.studies import UidTaken


class UnparseableDataset(CadNodeError):
    """The bytes aren't a data set in the transfer syntax they came in."""


class MismatchedDataset(CadNodeError):
    """The data set isn't the SOP Instance that the command announced."""


class StoreStatus(NamedTuple):
    code: int
    comment: str  # Error Comment (0000,0902): LO, 64 characters at most, never anything of a patient


SUCCESS = 0x0000

# PS3.4 Table B.2-1: A7xx out of resources, A9xx data set doesn't match SOP class, Cxxx cannot understand.
# docs/conformance.md is made from this table. The first row whose class the error has, counts.
STORE_STATUSES: Mapping[type[Exception], StoreStatus] = {
    OutOfSpace: StoreStatus(0xA700, "Out of resources: not enough free space"),
    MismatchedDataset: StoreStatus(0xA900, "SOP Class or Instance UID differs from that of the command"),
    UnparseableDataset: StoreStatus(0xC000, "The data set can't be parsed in its transfer syntax"),
    InvalidUid: StoreStatus(0xC010, "Study, Series or SOP Instance UID is missing or isn't a UID"),
    UidTaken: StoreStatus(0xC020, "Another content is stored under this SOP Instance UID"),
    Exception: StoreStatus(0xC0FF, "Processing failure; the instance isn't stored, send it again"),
}


def status_of(error: Exception) -> StoreStatus:
    """The status that answers `error`."""
    return next(status for kind, status in STORE_STATUSES.items() if isinstance(error, kind))
