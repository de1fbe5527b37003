"""The whole science on one screen: a series becomes a volume, findings, DICOM objects. No database, socket or clock."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydicom.dataset import Dataset

from cad_node.errors import Refusal, UnusableSeries
from cad_node.findings import Findings
from cad_node.imaging.load import load_volume
from cad_node.imaging.volume import Volume
from cad_node.inference.network import Network
from cad_node.manifest import Manifest
from cad_node.output.builder import Builder, Run
from cad_node.study import Study

Networks = Mapping[str, Network]  # the model's own and those of its parts, by what they are for
Task = Callable[[Volume, Manifest, Networks], Findings]


@dataclass(frozen=True, slots=True)
class BuiltObject:
    builder: str  # the key in BUILDERS, app/worker.py
    dataset: Dataset


def prepare(study: Study, series_instance_uid: str | None, manifest: Manifest) -> Volume:
    """Load the series that the job names; where it names none, the one the manifest takes now.

    Raises UnusableSeries if it is gone or the manifest's bounds don't hold.
    """
    if series_instance_uid is None:
        choice = manifest.choose(study)
        if choice.refusal:
            raise UnusableSeries(choice.refusal, "", choice.sentence)
        series = choice.series
    else:
        series = next((s for s in study.series if s.series_instance_uid == series_instance_uid), None)
    if series is None:
        raise UnusableSeries(Refusal.NO_MATCHING_SERIES, series_instance_uid or "", "isn't in the study any more; send it again")
    return load_volume(series, manifest.accepts.slice_spacing_mm, manifest.accepts.pixel_spacing_mm)


def find(volume: Volume, manifest: Manifest, networks: Networks, tasks: Mapping[str, Task]) -> Findings:
    """Run the manifest's task. Raises UnusableSeries if the anatomy isn't there."""
    return tasks[manifest.task](volume, manifest, networks)


def build(volume: Volume, findings: Findings, run: Run, builders: Mapping[str, Builder]) -> tuple[BuiltObject, ...]:
    """The manifest's objects; a builder that has nothing to show makes none."""
    built = ((name, builders[name](volume, findings, run)) for name in run.manifest.objects)
    return tuple(BuiltObject(name, dataset) for name, dataset in built if dataset is not None)
