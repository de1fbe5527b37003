"""What the viewer finds in the PACS: a study with nodules, one without, one that a model didn't take, and a run's objects of each."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import get_args

from pydicom.dataset import Dataset

from cad_node.app.worker import BUILDERS
from cad_node.errors import Refusal, UnusableSeries
from cad_node.objects import ObjectName, Profile
from cad_node.output.builder import Run
from cad_node.output.file import encode
from cad_node.output.refusal import build_refusal
from cad_node.pipeline import build
from cad_node.study import Instance, Series
from tests.e2e.orthanc import Orthanc
from tests.output import case
from tests.viewer.study import Case, negative_case, positive_case

EVERYTHING = Profile(get_args(ObjectName))
ALL_FRAMES = Profile(("seg", "labelmap"), keeps_empty_frames=True)


@dataclass(frozen=True, slots=True)
class Archived:
    """objects: of each edition, by the builder's name; "" is the edition that leaves empty frames out."""

    case: Case
    objects: Mapping[tuple[str, str], tuple[Dataset, ...]]


def archive(orthanc: Orthanc) -> dict[str, Archived]:
    """Builds everything anew and puts it in."""
    positive, negative = positive_case(), negative_case()
    archived = {
        "nodules": _analysed(positive, _run("nodules", supersedes=case.EARLIER), (EVERYTHING, ALL_FRAMES)),
        "no nodule": _analysed(negative, _run("no nodule"), (EVERYTHING,)),
    }
    archived["no nodule"].objects["refusal", ""] = (_refusal(negative),)
    for one in archived.values():
        for ds in (*one.case.datasets, *(ds for objects in one.objects.values() for ds in objects)):
            orthanc.post("/instances", _file(ds))
    return archived


def _run(name: str, **values) -> Run:
    return replace(case.run(), job_uid=uuid.uuid5(uuid.NAMESPACE_URL, name), **values)


def _analysed(of: Case, run: Run, profiles: Iterable[Profile]) -> Archived:
    objects: dict[tuple[str, str], tuple[Dataset, ...]] = {}
    for one in build(of.volume, of.findings, run, BUILDERS, tuple(profiles)):
        key = one.builder, "" if one.builder == "tree" else one.edition
        objects[key] = (*objects.get(key, ()), one.dataset)
    return Archived(of, objects)


def _refusal(of: Case) -> Dataset:
    instances = tuple(Instance(ds.SOPInstanceUID, ds.SOPClassUID, "", Path()) for ds in of.datasets)
    judged = Series(of.volume.series_instance_uid, "CT", instances)
    refused = UnusableSeries(Refusal.TOO_NOISY, judged.series_instance_uid, "noise of 210 HU in soft tissue, limit 150")
    return build_refusal(of.datasets[0], [judged], refused, _run("refused"))


def _file(ds: Dataset) -> bytes:
    if not hasattr(ds, "file_meta"):
        return encode(ds)
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
