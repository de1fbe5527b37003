"""Every object that a run made is read again as it was written, and checked, before it goes anywhere."""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydicom import dcmread, uid
from pydicom.dataset import Dataset, FileDataset

from cad_node.checks.annotations import misdrawn_coordinates, misdrawn_graphics
from cad_node.checks.content_tree import is_report, read_content, wrong_content
from cad_node.checks.contours import wrong_contours
from cad_node.checks.documents import wrong_page, wrong_pictures, wrong_surface
from cad_node.checks.encoding import malformed_values
from cad_node.checks.frames import Slices, slices_of
from cad_node.checks.heat_map import wrong_heat
from cad_node.checks.iod import LABEL_MAP_SEGMENTATION, missing_attributes
from cad_node.checks.references import Reference, dangling, of_another_study, referenced, unevidenced
from cad_node.checks.segments import wrong_segments
from cad_node.checks.templates import broken_template
from cad_node.checks.validator import validated
from cad_node.findings import Findings
from cad_node.imaging.volume import Volume

NAMED = 3  # faults of one object that its sentence names
LEFT_IN_THE_FILE = 2**20  # bytes; longer values are read frame by frame


@dataclass(frozen=True, slots=True)
class WrittenObject:
    name: str  # objects.ObjectName
    path: Path
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Origin:
    """What the objects were made of.

    superseded: SOP Instance UID -> SOP Class UID of the objects that these take the place of.
    """

    volume: Volume
    findings: Findings
    superseded: Mapping[str, str]


def faults(objects: Sequence[WrittenObject], origin: Origin, validator: str | None = None) -> tuple[str, ...]:
    """For each object a sentence that says why it mustn't go, or "". One that refers to an object with a fault has one too.

    validator: where dciodvfy lies; None: it isn't asked.
    """
    sources = {str(source.SOPInstanceUID): str(source.SOPClassUID) for source in origin.volume.sources}
    known = {**sources, **origin.superseded, **{one.sop_instance_uid: one.sop_class_uid for one in objects}}

    def every_check(ds: FileDataset, one: WrittenObject) -> Iterator[str]:
        yield from _form(ds, one, origin.volume.sources[0], sources, validator)
        yield from _content(ds, slices_of(origin.volume), origin.findings)

    checked = [_checked(one, every_check, known) for one in objects]
    return _without_a_gap(objects, _with_those_that_refer(objects, checked))


def report_fault(report: WrittenObject, source: Dataset, validator: str | None = None) -> str:
    """The same of a report that stands alone, of a study that wasn't analysed.

    source: the header of any image of the study.
    """
    return _checked(report, lambda ds, one: _form(ds, one, source, {}, validator), None).fault


@dataclass(frozen=True, slots=True)
class _Checked:
    fault: str
    refers_to: frozenset[str]  # SOP Instance UIDs


def _checked(
    one: WrittenObject, checks: Callable[[FileDataset, WrittenObject], Iterator[str]], known: Mapping[str, str] | None
) -> _Checked:
    """Read the file and check it; what hinders a check is a fault of the object, never of its job.

    known: what it may refer to, SOP Instance UID -> SOP Class UID; None: anything.
    """
    found: list[str] = []
    references: frozenset[Reference] = frozenset()
    try:
        ds = dcmread(one.path, defer_size=LEFT_IN_THE_FILE)
        found.extend(islice(checks(ds, one), NAMED + 1))
        references = referenced(ds)
        found.extend(islice(dangling(references, known), NAMED + 1) if known is not None else ())
    except Exception as exc:  # noqa: BLE001 - see above
        found.append(f"it couldn't be checked: {_named(exc)}")
    more = "; and more" if len(found) > NAMED else ""
    return _Checked("; ".join(found[:NAMED]) + more, frozenset(reference.sop_instance_uid for reference in references))


def _form(ds: FileDataset, one: WrittenObject, source: Dataset, sources: Mapping[str, str], validator: str | None) -> Iterator[str]:
    """What can be judged without what the object shows. Encoding comes first: reading a value converts it."""
    foreign_uids = {*sources, *(str(source.get(keyword)) for keyword in _SOURCE_UIDS)}
    yield from malformed_values(ds, source, foreign_uids)
    if (ds.SOPClassUID, ds.SOPInstanceUID) != (one.sop_class_uid, one.sop_instance_uid):
        yield "the file holds another object than the one that was built"
    yield from missing_attributes(ds)
    yield from of_another_study(ds, source)
    if is_report(ds):
        root = read_content(ds)
        yield from wrong_content(root, ds.SOPClassUID)
        yield from broken_template(root, ds.SOPClassUID)
        yield from unevidenced(ds)
    if validator:
        yield from validated(one.path, ds, source, foreign_uids, validator)


def _content(ds: FileDataset, slices: Slices, findings: Findings) -> Iterator[str]:
    """What it shows, against what was found."""
    if is_report(ds):
        yield from misdrawn_coordinates(read_content(ds), slices, findings)
    check = _BY_SOP_CLASS.get(ds.SOPClassUID)
    if check:
        yield from check(ds, slices, findings)


def _with_those_that_refer(objects: Sequence[WrittenObject], checked: Sequence[_Checked]) -> tuple[str, ...]:
    """Hold back as well what refers to what is held back, however far."""
    found = [one.fault for one in checked]
    names = {one.sop_instance_uid: index for index, one in enumerate(objects)}
    grows = True
    while grows:
        grows = False
        for index, one in enumerate(checked):
            held = sorted(objects[names[uid]].name for uid in one.refers_to & names.keys() if found[names[uid]] and names[uid] != index)
            if held and not found[index]:
                found[index] = f"it refers to {', '.join(held)}, held back as well"
                grows = True
    return tuple(found)


def _without_a_gap(objects: Sequence[WrittenObject], found: Sequence[str]) -> tuple[str, ...]:
    """Reject nothing unless all that takes its place goes: the earlier results are better than none."""
    held = ", ".join(sorted({one.name for one, fault in zip(objects, found, strict=True) if fault}))
    gap = f"it rejects earlier results, but of those that take their place {held} is held back" if held else ""
    return tuple(fault or (gap if one.name == "rejection" else "") for one, fault in zip(objects, found, strict=True))


def _named(error: Exception) -> str:
    """Kind and place of an error; its text may quote a data set."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"


_SOURCE_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_BY_SOP_CLASS: Mapping[str, Callable[[FileDataset, Slices, Findings], Iterator[str]]] = {
    uid.SegmentationStorage: wrong_segments,
    LABEL_MAP_SEGMENTATION: wrong_segments,
    uid.ParametricMapStorage: wrong_heat,
    uid.RTStructureSetStorage: wrong_contours,
    uid.EncapsulatedSTLStorage: wrong_surface,
    uid.EncapsulatedPDFStorage: wrong_page,
    uid.SecondaryCaptureImageStorage: wrong_pictures,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage: wrong_pictures,
    uid.GrayscaleSoftcopyPresentationStateStorage: misdrawn_graphics,
}
