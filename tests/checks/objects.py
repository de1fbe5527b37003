"""The objects of one small run as files, sound or broken on purpose, and what the gate says of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import Tag

from cad_node import pipeline
from cad_node.app.worker import BUILDERS
from cad_node.checks.gate import Origin, WrittenObject, faults
from cad_node.findings import Findings
from cad_node.imaging.volume import Volume
from cad_node.objects import Profile
from cad_node.output.file import encode
from tests.output import case

NAMES = (*BUILDERS, "tree")

Breaking = Callable[[Dataset], object]


@dataclass(frozen=True)
class MadeObject:
    name: str
    number: int
    content: bytes
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class SmallRun:
    volume: Volume
    findings: Findings
    objects: tuple[MadeObject, ...]

    def first(self, name: str) -> MadeObject:
        return next(one for one in self.objects if one.name == name)


def made(volume: Volume, findings: Findings, *, keeps_empty_frames: bool = False) -> SmallRun:
    """Every object that the node can make of these findings."""
    profile = Profile(NAMES, keeps_empty_frames)
    built = pipeline.build(volume, findings, case.run(), BUILDERS, [profile])
    objects = tuple(MadeObject(one.builder, one.number, encode(one.dataset), *_identity(one.dataset)) for one in built)
    return SmallRun(volume, findings, objects)


@cache
def small_run() -> SmallRun:
    """Of three nodules in two lungs."""
    volume = case.volume()
    return made(volume, case.measured_findings(volume))


def judged(run: SmallRun, folder: Path, validator: str | None = None) -> dict[str, str]:
    """Object and number -> its fault."""
    written = [_written(one, folder) for one in run.objects]
    found = faults(written, Origin(run.volume, run.findings, {}), validator)
    return {f"{one.name}-{one.number}": fault for one, fault in zip(run.objects, found, strict=True)}


def judged_alone(one: MadeObject, folder: Path, validator: str | None = None) -> str:
    """What the gate says of an object of the small run; the others are there, as if it took their place."""
    run = small_run()
    others = {other.sop_instance_uid: other.sop_class_uid for other in run.objects if other.name != one.name}
    (fault,) = faults([_written(one, folder)], Origin(run.volume, run.findings, others), validator)
    return fault


def with_broken(name: str, breaking: Breaking) -> SmallRun:
    """The small run with one of its objects broken."""
    run = small_run()
    return replace(run, objects=tuple(broken(one, breaking) if one.name == name else one for one in run.objects))


def broken(one: MadeObject, breaking: Breaking) -> MadeObject:
    return replace(one, content=altered(one.content, breaking))


def altered(content: bytes, breaking: Breaking) -> bytes:
    ds = read(content)
    breaking(ds)
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def put_raw(ds: Dataset, keyword: str, value: bytes) -> None:
    """Put bytes into `ds` as they are to stand in the file, without a check."""
    tag = Tag(keyword)
    ds._dict[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)


def read(content: bytes) -> FileDataset:
    return dcmread(BytesIO(content))


def _written(one: MadeObject, folder: Path) -> WrittenObject:
    path = folder / f"{one.name}-{one.number}.dcm"
    path.write_bytes(one.content)
    return WrittenObject(one.name, path, one.sop_class_uid, one.sop_instance_uid)


def _identity(ds: Dataset) -> tuple[str, str]:
    return str(ds.SOPClassUID), str(ds.SOPInstanceUID)
