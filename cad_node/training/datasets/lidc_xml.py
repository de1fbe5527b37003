"""What LIDC-IDRI's readers marked: the XML beside each series, in the namespace http://www.nih.gov.

Armato et al., The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative (IDRI), Medical Physics 38, 2011.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from cad_node.training.nodules.annotated import RATINGS
from cad_node.training.samples import DataError

NAMESPACE = "{http://www.nih.gov}"
ROOT = f"{NAMESPACE}LidcReadMessage"


@dataclass(frozen=True, slots=True)
class Outline:
    """A closed line of pixels on one image; none of them belongs to what it surrounds.

    pixels: (P, 2) column, row. inclusion: what it surrounds is nodule; otherwise it is a hole in one.
    """

    sop_instance_uid: str
    pixels: NDArray[np.int64]
    inclusion: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """What one reader marked as one thing. characteristics: subtlety to malignancy, of nodules of 3 mm or more alone."""

    reader: int
    outlines: tuple[Outline, ...]
    characteristics: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Reading:
    """All readers' marks on one series.

    nodules: of 3 mm or more, outlined. small_nodules: under 3 mm, and non_nodules: each one point.
    """

    series_instance_uid: str
    nodules: tuple[Mark, ...]
    small_nodules: tuple[Mark, ...]
    non_nodules: tuple[Mark, ...]


def is_reading(file: Path) -> bool:
    """Whether the XML file begins as the readings of CT series do; those of chest radiographs have another root."""
    try:
        with file.open("rb") as stream:
            _, root = next(ElementTree.iterparse(stream, events=("start",)))  # noqa: S314 - the user's own download
            return str(root.tag) == ROOT
    except (ElementTree.ParseError, StopIteration, OSError):
        return False


def parse_reading(file: Path, content: bytes) -> Reading:
    """Raises DataError naming the file."""
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 - the user's own download
        sessions = list(enumerate(_children(root, "readingSession")))
        nodules = [_nodule(reader, node) for reader, session in sessions for node in _children(session, "unblindedReadNodule")]
        return Reading(
            _text(root, f"{NAMESPACE}ResponseHeader/{NAMESPACE}SeriesInstanceUid"),
            tuple(nodule for nodule in nodules if set(RATINGS) <= nodule.characteristics.keys()),
            tuple(nodule for nodule in nodules if not set(RATINGS) <= nodule.characteristics.keys()),
            tuple(_non_nodule(reader, node) for reader, session in sessions for node in _children(session, "nonNodule")),
        )
    except (ElementTree.ParseError, ValueError) as exc:
        raise DataError(f"{file}: not a reading of a CT series: {exc}; download it again") from exc


def _nodule(reader: int, node: Element) -> Mark:
    stated = node.find(f"{NAMESPACE}characteristics")
    values = {} if stated is None else {_name(value): int(value.text) for value in stated if value.text and value.text.strip()}
    return Mark(reader, tuple(_outline(roi) for roi in _children(node, "roi")), values)


def _outline(roi: Element) -> Outline:
    inclusion = _text(roi, f"{NAMESPACE}inclusion").upper() == "TRUE"
    return Outline(_text(roi, f"{NAMESPACE}imageSOP_UID"), _points(_children(roi, "edgeMap")), inclusion)


def _non_nodule(reader: int, node: Element) -> Mark:
    outline = Outline(_text(node, f"{NAMESPACE}imageSOP_UID"), _points(_children(node, "locus")), inclusion=True)
    return Mark(reader, (outline,), {})


def _points(nodes: Iterator[Element]) -> NDArray[np.int64]:
    found = [[int(_text(node, f"{NAMESPACE}{axis}Coord")) for axis in "xy"] for node in nodes]
    if not found:
        raise ValueError("an outline without points")
    return np.array(found, dtype=np.int64)


def _children(node: Element, name: str) -> Iterator[Element]:
    return node.iterfind(f"{NAMESPACE}{name}")


def _name(node: Element) -> str:
    return node.tag.removeprefix(NAMESPACE)


def _text(node: Element, path: str) -> str:
    text = node.findtext(path)
    if not text or not text.strip():
        raise ValueError(f"{_name(node)} without {path.replace(NAMESPACE, '')}")
    return text.strip()
