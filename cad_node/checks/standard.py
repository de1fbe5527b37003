"""What PS3.3 requires of each SOP class, out of the tables that highdicom generates from the standard.

The tables are highdicom's private ones; this file is the only one that knows them. Written for highdicom 0.28:
`tests/checks/test_standard.py` fails when they go or change their form.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map


@dataclass(slots=True)
class Requirement:
    """An attribute that must be there, or whose items require attributes if it is there.

    type: "1" with a value; "2" present, perhaps empty; "3" only what is in `items` is required. PS3.5 7.4
    """

    type: str
    items: dict[str, "Requirement"] = field(default_factory=dict)


@lru_cache
def requirements(sop_class_uid: str) -> Mapping[str, Requirement]:
    """By keyword, of the modules that are mandatory; empty where the SOP class isn't known."""
    required: dict[str, Requirement] = {}
    for module in get_iod_module_map().get(get_sop_class_iod_map().get(sop_class_uid, ""), ()):
        if module["usage"] == "M" and module["key"] not in _CHECKED_ELSEWHERE:
            for keyword, type_, path in _attributes(module["key"]):
                _add(required, keyword, type_, path)
    return _pruned(required)


def is_known(sop_class_uid: str) -> bool:
    return sop_class_uid in get_sop_class_iod_map()


# The tables flatten macros that apply on a condition as if they always did: the value types of a content item.
_CHECKED_ELSEWHERE = frozenset({"sr-document-content"})
_SPECIALISED = frozenset({("multi-frame", "FrameIncrementPointer")})  # of several frames only, PS3.3 C.8.6.3
_FUNCTIONAL_GROUPS = "multi-frame-functional-groups"  # their macros are shared or per frame, which a table can't say


def _attributes(module: str) -> Iterator[tuple[str, str, list[str]]]:
    for attribute in get_module_attribute_map()[module]:
        path = attribute["path"]
        if not (path and module.endswith(_FUNCTIONAL_GROUPS)) and (module, attribute["keyword"]) not in _SPECIALISED:
            yield attribute["keyword"], attribute["type"], path


def _add(required: dict[str, Requirement], keyword: str, type_: str, path: list[str]) -> None:
    for parent in path:
        required = required.setdefault(parent, Requirement("3")).items
    type_ = type_ if type_ in ("1", "2") else "3"  # the conditions of 1C and 2C aren't in the tables
    known = required.setdefault(keyword, Requirement(type_))
    known.type = min(known.type, type_)  # a specialised module says more than a general one


def _pruned(required: dict[str, Requirement]) -> dict[str, Requirement]:
    """Without what requires nothing."""
    for one in required.values():
        one.items = _pruned(one.items)
    return {keyword: one for keyword, one in required.items() if one.type != "3" or one.items}
