"""What a C-STORE status means for a delivery, PS3.4 Table B.2-1 and PS3.7 C."""

from collections.abc import Mapping

from cad_node.deliver.transport import Outcome

_DELIVERED: Mapping[int, str] = {
    0x0000: "success",
    0x0001: "warning",
    0x0107: "attribute list error",
    0x0111: "it has this instance already",  # UIDs are derived: the same instance is the same content
    0x0116: "attribute value out of range",
    0xB000: "coercion of data elements",
    0xB006: "elements discarded",
    0xB007: "dataset doesn't match SOP class",
}
_RETRYABLE: Mapping[int, str] = {
    0x0110: "processing failure",
    0x0124: "not authorised",  # of the node, not of this instance: it passes once the PACS knows us
    0x0213: "resource limitation",
}
_PERMANENT: Mapping[int, str] = {
    0x0117: "invalid SOP instance",
    0x0122: "SOP class not supported",
    0x0210: "duplicate invocation",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
}
_UNSUPPORTED = 0x0122


def outcome_of(status: int) -> Outcome:
    """Delivered, to be tried again, or refused for good. A status that the standard doesn't know is tried again."""
    if status in _DELIVERED:
        return Outcome.success(_reason(status, _DELIVERED[status]))
    if status in _PERMANENT:
        return Outcome(False, False, _reason(status, _PERMANENT[status]), unsupported=status == _UNSUPPORTED)
    if status >> 12 == 0xB:
        return Outcome.success(_reason(status, "warning"))
    if status >> 8 == 0xA9:
        return Outcome(False, False, _reason(status, "dataset doesn't match SOP class"))
    if status >> 12 == 0xC:
        return Outcome(False, False, _reason(status, "can't understand"))
    meaning = "out of resources" if status >> 8 == 0xA7 else _RETRYABLE.get(status, "unknown status")
    return Outcome(False, True, _reason(status, meaning))


def _reason(status: int, meaning: str) -> str:
    return f"0x{status:04X} {meaning}"
