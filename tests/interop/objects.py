"""Every object that a run can give, as files: what the table of objects and tools is about."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from cad_node import pipeline
from cad_node.app.worker import BUILDERS
from cad_node.errors import Refusal, UnusableSeries
from cad_node.objects import ObjectName, Profile
from cad_node.output.file import encode
from cad_node.output.refusal import build_refusal
from cad_node.study import Instance, Series
from tests.factory import ct_study, save_study
from tests.output import case

SOURCE = "source"  # the CT, a folder


def write_objects(folder: Path) -> Mapping[str, Path]:
    """Those of a run with findings that takes the place of another, and a refusal; the first of each kind, by name."""
    datasets = ct_study(slices=10, voxels=case.np.full((10, 61, 67), -850, case.np.int16))
    save_study(datasets, folder / SOURCE)
    files = {SOURCE: folder / SOURCE}
    volume = case.volume(datasets)
    profiles = [Profile(tuple(name for name in get_args(ObjectName) if name != "labelmap")), Profile(("labelmap",))]
    built = pipeline.build(volume, case.measured_findings(volume), case.later_run(), BUILDERS, profiles)
    objects = [(one.builder, one.dataset) for one in built if one.number == 1]
    for name, ds in [*objects, ("refusal", _refusal(volume))]:
        files[name] = folder / f"{name}.dcm"
        files[name].write_bytes(encode(ds))
    return files


def _refusal(volume):
    instances = tuple(Instance(ds.SOPInstanceUID, ds.SOPClassUID, "", Path()) for ds in volume.sources)
    refused = UnusableSeries(Refusal.TOO_NOISY, volume.series_instance_uid, "noise of 210 HU in soft tissue, limit 150")
    return build_refusal(volume.sources[0], [Series(volume.series_instance_uid, "CT", instances)], refused, case.run())
