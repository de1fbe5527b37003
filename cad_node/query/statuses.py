"""What the statuses of C-FIND, C-MOVE and C-GET mean, PS3.4 Tables C.4-1, C.4-2 and C.4-3."""

from collections.abc import Mapping

SUCCESS = 0x0000
CANCELLED = 0xFE00
PENDING = frozenset({0xFF00, 0xFF01})  # 0xFF01: optional keys weren't matched

_MEANINGS: Mapping[int, str] = {
    0x0122: "SOP class not supported",
    0x0124: "not authorised; does it know our AE title?",
    0xA700: "out of resources",
    0xA701: "out of resources: it can't count the matches",
    0xA702: "out of resources: none of the instances could be sent",
    0xA801: "it doesn't know the move destination; enter this node's AE title, host and port there",
    0xA900: "the identifier doesn't match the SOP class",
    0xB000: "some of the instances couldn't be sent",
    CANCELLED: "cancelled",
}


def meaning_of(status: int) -> str:
    """In words, without what the peer says about it: that can quote a patient."""
    return _MEANINGS.get(status) or ("unable to process" if status >> 12 == 0xC else "a status that the standard doesn't name here")
