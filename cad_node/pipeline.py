"""The whole science on one screen: a series becomes a volume, findings, DICOM objects. No database, socket or clock."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from cad_node.errors import Refusal, UnusableSeries
from cad_node.findings import Findings
from cad_node.imaging.load import load_volume
from cad_node.imaging.volume import Volume
from cad_node.inference.network import Network
from cad_node.manifest import Manifest
from cad_node.objects import Profile
from cad_node.output.builder import Builder, Run
from cad_node.output.refusal import build_refusal
from cad_node.output.tree import build_tree
from cad_node.study import Series, Study

Networks = Mapping[str, Network]  # the model's own and those of its parts, by what they are for
Task = Callable[[Volume, Manifest, Networks], Findings]


@dataclass(frozen=True, slots=True)
class BuiltObject:
    builder: str  # the key in BUILDERS, app/worker.py
    dataset: Dataset
    edition: str = ""  # objects.Profile.edition
    number: int = 1  # among those of its builder and edition


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


def build(
    volume: Volume, findings: Findings, run: Run, builders: Mapping[str, Builder], profiles: Collection[Profile]
) -> tuple[BuiltObject, ...]:
    """What any of the profiles asks for, and what may have to go instead, each edition once and in the builders' order; roots last."""
    built: list[BuiltObject] = []
    for keeps_empty_frames in sorted({profile.keeps_empty_frames for profile in profiles}):
        edition_run = replace(run, keeps_empty_frames=keeps_empty_frames)
        alike = [profile for profile in profiles if profile.keeps_empty_frames == keeps_empty_frames]
        wanted = {name for profile in alike for name in profile.to_build()}
        for name, builder in builders.items():
            if name in wanted and name != "rejection":
                objects = builder(volume, findings, edition_run)
                built += [BuiltObject(name, ds, alike[0].edition(name), number) for number, ds in enumerate(objects, 1)]
    rejections = _rejections(volume, findings, run, builders, profiles)
    return (*built, *rejections, *_roots(volume, findings, run, [*built, *rejections], profiles))


def explain(study: Study, series_instance_uid: str | None, refused: UnusableSeries, run: Run) -> BuiltObject | None:
    """The report that says why the series that the job names, or any of the study, isn't taken; None if no file can be read."""
    judged = [series for series in study.series if series_instance_uid in (None, series.series_instance_uid)] or study.series
    header = any_header(judged)
    return BuiltObject("refusal", build_refusal(header, judged, refused, run)) if header else None


def _rejections(
    volume: Volume, findings: Findings, run: Run, builders: Mapping[str, Builder], profiles: Collection[Profile]
) -> list[BuiltObject]:
    """A note for each destination, on what it has: archives refuse one that names what they never had."""
    notes = []
    for profile in profiles:
        its = tuple(earlier for earlier in run.supersedes if profile.destination in earlier.destinations)
        if "rejection" in profile.objects and its:
            its_run = replace(run, supersedes=its, destination=profile.destination)
            notes += [BuiltObject("rejection", ds, profile.edition("rejection")) for ds in builders["rejection"](volume, findings, its_run)]
    return notes


def _roots(volume: Volume, findings: Findings, run: Run, built: Sequence[BuiltObject], profiles: Collection[Profile]) -> list[BuiltObject]:
    """The root of the results for each set of objects that a profile asks for."""
    wanted = {profile.edition("tree"): profile for profile in profiles if "tree" in profile.objects}
    roots = []
    for edition, profile in sorted(wanted.items()):
        objects = [(one.builder, one.dataset) for one in built if profile.wants(one.builder, one.edition)]
        edition_run = replace(run, keeps_empty_frames=profile.keeps_empty_frames)
        roots += [BuiltObject("tree", ds, edition) for ds in build_tree(volume, findings, edition_run, objects, edition)]
    return roots


def any_header(series: Sequence[Series]) -> Dataset | None:
    for path in (instance.path for one in series for instance in one.instances):
        try:
            return dcmread(path, stop_before_pixels=True)
        except (InvalidDicomError, OSError):  # the next file may be whole
            continue
    return None
