"""The content of a Structured Report as a tree of items, and the relationships that its IOD allows, PS3.3 A.35 and C.17.3."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import KeyObjectSelectionDocumentStorage

SR_FAMILY = "1.2.840.10008.5.1.4.1.1.88."  # every Structured Report's SOP class begins so, a Key Object Selection's too


@dataclass(frozen=True, slots=True)
class Item:
    """One content item; `name` is (value, scheme) of its concept, ("", "") without one."""

    ds: Dataset
    relationship: str  # to its parent; "" for the root
    value_type: str  # "" where it is a reference to another item
    name: tuple[str, str]
    children: tuple["Item", ...]

    def of(self, concept: Code) -> tuple["Item", ...]:
        """The children with this concept name."""
        return tuple(child for child in self.children if child.name == (concept.value, concept.scheme_designator))

    def walk(self) -> Iterator["Item"]:
        """Itself and everything below, depth first."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def value(self) -> tuple[str, str]:
        """(value, scheme) of a CODE item."""
        return code_of(self.ds, "ConceptCodeSequence")

    @property
    def meaning(self) -> str:
        """Its concept name in words, for people."""
        names = self.ds.get("ConceptNameCodeSequence")
        return str(names[0].get("CodeMeaning", "")) if names else self.value_type


def referred_to(item: Item, root: Item) -> Item | None:
    """The item itself, or where it is a reference the one that it names by its place in the tree; None: there isn't one."""
    if item.value_type or "ReferencedContentItemIdentifier" not in item.ds:
        return item
    places = item.ds["ReferencedContentItemIdentifier"].value
    found = root
    for place in (places if isinstance(places, Sequence) else [places])[1:]:  # the first is the root's own, PS3.3 C.17.3.2.5
        if not 1 <= place <= len(found.children):
            return None
        found = found.children[place - 1]
    return found


def is_report(ds: Dataset) -> bool:
    return str(ds.get("SOPClassUID", "")).startswith(SR_FAMILY) and "ValueType" in ds


def read_content(ds: Dataset) -> Item:
    """The root item, which is the data set itself."""
    return Item(
        ds,
        str(ds.get("RelationshipType") or ""),
        str(ds.get("ValueType") or ""),
        code_of(ds, "ConceptNameCodeSequence"),
        tuple(read_content(child) for child in ds.get("ContentSequence") or ()),
    )


def code_of(ds: Dataset, keyword: str) -> tuple[str, str]:
    """(value, scheme) of the first item of a code sequence; ("", "") without one."""
    items = ds.get(keyword)
    if not items:
        return "", ""
    value = items[0].get("CodeValue") or items[0].get("LongCodeValue") or items[0].get("URNCodeValue") or ""
    return str(value), str(items[0].get("CodingSchemeDesignator", ""))


def wrong_content(root: Item, sop_class_uid: str) -> Iterator[str]:
    """A sentence for each item that lacks what its value type wants, or hangs where its IOD doesn't let it."""
    if root.value_type != "CONTAINER":
        yield f"the root content item is a {root.value_type or 'nothing'}, not a CONTAINER"
    allowed = _KEY_OBJECTS if sop_class_uid == KeyObjectSelectionDocumentStorage else _REPORTS
    for item in root.walk():
        yield from _lacking(item, item is root)
        for child in item.children:
            target = referred_to(child, root)
            if target is None:
                yield f"a child of {item.value_type} {item.meaning} refers to a content item that isn't there"
            elif target.value_type not in allowed.get((item.value_type, child.relationship), ()):
                relationship = child.relationship or "without relationship"
                yield f"{item.value_type} {relationship} {target.value_type} isn't allowed ({target.meaning})"


def _lacking(item: Item, is_root: bool) -> Iterator[str]:
    if not item.value_type:
        if "ReferencedContentItemIdentifier" not in item.ds:
            yield "a content item has no ValueType"
        return
    for keyword in _NEEDED.get(item.value_type, ()):
        if keyword not in item.ds:
            yield f"{item.value_type} {item.meaning} has no {keyword}"
        elif item.ds[keyword].is_empty and (item.value_type, keyword) != ("NUM", "MeasuredValueSequence"):
            yield f"{item.value_type} {item.meaning} has an empty {keyword}"
    if item.name == ("", "") and item.value_type not in _NAMELESS:
        yield f"a {item.value_type} has no concept name"
    if not is_root and not item.relationship:
        yield f"{item.value_type} {item.meaning} has no RelationshipType"
    if item.value_type == "NUM":
        yield from _unmeasured(item)


def _unmeasured(item: Item) -> Iterator[str]:
    """PS3.3 C.18.1"""
    values = item.ds.get("MeasuredValueSequence")
    if not values:
        if not item.ds.get("NumericValueQualifierCodeSequence"):
            yield f"NUM {item.meaning} has neither a value nor a reason why not"
        return
    if not values[0].get("MeasurementUnitsCodeSequence"):
        yield f"NUM {item.meaning} has no units"
    if values[0].get("NumericValue") is None:
        yield f"NUM {item.meaning} has no NumericValue"


_NAMELESS = frozenset({"IMAGE", "COMPOSITE", "WAVEFORM", "SCOORD", "SCOORD3D", "TCOORD", "CONTAINER"})  # PS3.3 C.17.3.2.3
_NEEDED = {
    "CODE": ("ConceptCodeSequence",),
    "COMPOSITE": ("ReferencedSOPSequence",),
    "CONTAINER": ("ContinuityOfContent",),
    "DATE": ("Date",),
    "DATETIME": ("DateTime",),
    "IMAGE": ("ReferencedSOPSequence",),
    "NUM": ("MeasuredValueSequence",),
    "PNAME": ("PersonName",),
    "SCOORD": ("GraphicData", "GraphicType"),
    "SCOORD3D": ("GraphicData", "GraphicType", "ReferencedFrameOfReferenceUID"),
    "TCOORD": ("TemporalRangeType",),
    "TEXT": ("TextValue",),
    "TIME": ("Time",),
    "UIDREF": ("UID",),
    "WAVEFORM": ("ReferencedSOPSequence",),
}

_PLAIN = ("TEXT", "CODE", "NUM", "DATETIME", "DATE", "TIME", "UIDREF", "PNAME")
_DRAWN = ("IMAGE", "WAVEFORM", "COMPOSITE", "SCOORD", "SCOORD3D", "TCOORD")
_EVERY = (*_PLAIN, *_DRAWN, "CONTAINER")

# (source, relationship) -> targets: Comprehensive 3D, whose table holds those of the other reports, PS3.3 Table A.35.13-2.
_REPORTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("CONTAINER", "CONTAINS"): _EVERY,
    **{(source, "HAS OBS CONTEXT"): (*_PLAIN, "COMPOSITE") for source in ("CONTAINER", "TEXT", "CODE", "NUM")},
    **{(source, "HAS ACQ CONTEXT"): (*_PLAIN, "CONTAINER") for source in ("CONTAINER", "IMAGE", "WAVEFORM", "COMPOSITE", "NUM")},
    **{(source, "HAS CONCEPT MOD"): ("TEXT", "CODE") for source in _EVERY},
    **{(source, "HAS PROPERTIES"): _EVERY for source in ("TEXT", "CODE", "NUM")},
    ("PNAME", "HAS PROPERTIES"): ("TEXT", "CODE", "DATETIME", "DATE", "TIME", "UIDREF", "PNAME"),
    **{(source, "INFERRED FROM"): _EVERY for source in ("TEXT", "CODE", "NUM")},
    ("SCOORD", "SELECTED FROM"): ("IMAGE",),
    ("SCOORD3D", "SELECTED FROM"): ("IMAGE",),
    ("TCOORD", "SELECTED FROM"): ("SCOORD", "SCOORD3D", "IMAGE", "WAVEFORM"),
}
_KEY_OBJECTS: dict[tuple[str, str], tuple[str, ...]] = {  # PS3.3 Table A.35.4-2
    ("CONTAINER", "CONTAINS"): ("TEXT", "IMAGE", "WAVEFORM", "COMPOSITE"),
    ("CONTAINER", "HAS OBS CONTEXT"): ("TEXT", "CODE", "UIDREF", "PNAME"),
    ("CONTAINER", "HAS CONCEPT MOD"): ("CODE",),
}
