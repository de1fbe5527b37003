"""What a query or a retrieve asks for, read from its identifier and checked, PS3.4 C.4.1.1.3, C.4.2.1.4 and C.4.3.1.3."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from cad_node.errors import CadNodeError
from cad_node.receive.matching import texts_of
from cad_node.receive.result_headers import IMAGE, LEVELS, PATIENT, SERIES, STUDY, UNIQUE_KEYS, keys_down_to

_OTHERS = ("QueryRetrieveLevel", "SpecificCharacterSet", "TimezoneOffsetFromUTC", "RetrieveAETitle", "InstanceAvailability")


class MismatchedIdentifier(CadNodeError):
    """The identifier isn't one of the information model. The message is for the peer too: Error Comment, at most 64 characters."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The entities of a level, by the values of unique keys; empty: any."""

    level: str
    patient_ids: tuple[str, ...]
    study_instance_uids: tuple[str, ...]
    series_instance_uids: tuple[str, ...]
    sop_instance_uids: tuple[str, ...]


def read_query(identifier: Dataset, top: str) -> tuple[Wanted, list[DataElement], bool]:
    """What a C-FIND asks for: by unique keys, the keys to match and to answer, and whether there are others that aren't known.

    top: the highest level of the information model. Raises MismatchedIdentifier.
    """
    level = _level(identifier, top)
    _require_keys_above(identifier, level, top)
    supported = keys_down_to(level)
    keys = [element for element in identifier if element.keyword in supported]
    has_unknown = any(element.keyword not in supported and element.keyword not in _OTHERS for element in identifier)
    return _wanted(identifier, level, top, is_exact=False), keys, has_unknown


def read_retrieve(identifier: Dataset, top: str) -> Wanted:
    """What a C-GET or a C-MOVE asks for. Raises MismatchedIdentifier."""
    level = _level(identifier, top)
    _require_keys_above(identifier, level, top)
    if not _values(identifier, UNIQUE_KEYS[level]):
        raise MismatchedIdentifier(f"{UNIQUE_KEYS[level]} is missing")
    return _wanted(identifier, level, top, is_exact=True)


def _level(identifier: Dataset, top: str) -> str:
    level = str(identifier.get("QueryRetrieveLevel", "")).strip()
    if level not in LEVELS[LEVELS.index(top) :]:
        raise MismatchedIdentifier("QueryRetrieveLevel is missing or not of this model")
    return level


def _require_keys_above(identifier: Dataset, level: str, top: str) -> None:
    """A hierarchical search names one entity of each level above, PS3.4 C.4.1.2.1."""
    for above in LEVELS[LEVELS.index(top) : LEVELS.index(level)]:
        values = _values(identifier, UNIQUE_KEYS[above])
        if len(values) != 1 or _is_wild(values[0]):
            raise MismatchedIdentifier(f"{UNIQUE_KEYS[above]} must have one value at level {level}")


def _wanted(identifier: Dataset, level: str, top: str, *, is_exact: bool) -> Wanted:
    """is_exact: Patient IDs are chosen by, too; in a query they are matched like other keys, and may hold wildcards."""

    def chosen(of_level: str) -> tuple[str, ...]:
        return tuple(_values(identifier, UNIQUE_KEYS[of_level])) if LEVELS.index(of_level) <= LEVELS.index(level) else ()

    patient_ids = chosen(PATIENT) if is_exact and top == PATIENT else ()
    return Wanted(level, patient_ids, chosen(STUDY), chosen(SERIES), chosen(IMAGE))


def _values(identifier: Dataset, keyword: str) -> Sequence[str]:
    """Of a unique key; none where it asks for all, as an empty value and a * do."""
    texts = [text for text in texts_of(identifier[keyword]) if text] if keyword in identifier else []
    return () if "*" in texts else texts


def _is_wild(value: str) -> bool:
    return "*" in value or "?" in value
