"""Whether a value is what a query asks for: attribute matching, PS3.4 C.2.2.2."""

import re
from fnmatch import translate

from pydicom.dataelem import DataElement

_WILD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})  # PS3.4 C.2.2.2.4
_NUMBER_VRS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
_LAST_TIME = "235959.999999"


def matches(key: DataElement, held: DataElement | None) -> bool:
    """Whether one of the values held is one that the key asks for; a key without a value, or of * alone, asks for any.

    Sequences aren't matched.
    """
    wanted = [text for text in texts_of(key) if text]
    if not wanted or key.VR == "SQ" or "*" in wanted:
        return True
    values = texts_of(held) if held is not None else []
    return any(_is_match(key.VR, one, value) for one in wanted for value in values)


def texts_of(element: DataElement) -> list[str]:
    """The values as text, without padding."""
    value = element.value
    if value is None or element.VR == "SQ":
        return []
    return [str(item).strip(" \0") for item in (value if element.VM > 1 else [value])]


def _is_match(vr: str, wanted: str, value: str) -> bool:
    if vr in {"DA", "TM"}:
        return _is_within(vr, wanted, value)
    if vr in _NUMBER_VRS:
        return _number(wanted) == _number(value)
    if vr == "PN":
        wanted, value = _name(wanted), _name(value)
    # A shell's pattern, but for its brackets; translated so that many asterisks take no more time than few.
    if vr in _WILD_VRS and ("*" in wanted or "?" in wanted):
        return re.match(translate(wanted.replace("[", "[[]")), value) is not None
    return wanted == value


def _is_within(vr: str, wanted: str, value: str) -> bool:
    """Range matching, both ends included, PS3.4 C.2.2.2.5; a single time matches as far as it goes."""
    begin, is_range, end = (_plain(part) for part in wanted.partition("-"))
    value = _plain(value)
    if not value:
        return False
    if not is_range:
        return value.startswith(begin) if vr == "TM" else value == begin
    last = (end + _LAST_TIME[len(end) :] if vr == "TM" else end) if end else "9"
    return begin <= value <= last


def _plain(moment: str) -> str:
    """Without the separators of the standard's forerunner: 2026.01.02, 10:11:12."""
    return moment.replace(":", "") if ":" in moment else (moment.replace(".", "") if moment.count(".") == 2 else moment)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _name(text: str) -> str:
    """Without empty components at the end, PS3.5 6.2.1; in one case, which PS3.4 C.2.2.2.1 allows."""
    return re.sub(r"\^+(?==|$)", "", text).rstrip("=").casefold()
