"""Finished jobs whose objects have substitutes, for the tests of what goes where an object isn't taken."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import (
    ChestCADSRStorage,
    Comprehensive3DSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)

from cad_node.objects import Profile
from cad_node.store.database import Database
from cad_node.store.jobs import Jobs, NewResult
from cad_node.store.studies import Studies
from tests.factory import ct_study, save_study
from tests.store import arrivals

SOP_CLASSES: Mapping[str, str] = {
    "seg": SegmentationStorage,
    "rtstruct": RTStructureSetStorage,
    "gsps": GrayscaleSoftcopyPresentationStateStorage,
    "sc": MultiFrameTrueColorSecondaryCaptureImageStorage,
    "sr": Comprehensive3DSRStorage,
    "cad_sr": ChestCADSRStorage,
}


@dataclass(frozen=True, slots=True)
class Made:
    """builder: of the object; fault: why it didn't pass the checks."""

    builder: str
    edition: str = ""
    fault: str = ""


def queue_replaceable(database: Database, folder: Path, profiles: Mapping[str, Profile], *made: str | Made) -> int:
    """A finished job with these objects, due for the destinations that want them. Returns its number."""
    objects = [Made(one) if isinstance(one, str) else one for one in made]
    datasets = ct_study(slices=len(objects))
    for ds, one in zip(datasets, objects, strict=True):
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SOP_CLASSES[one.builder]
    arrivals.queue_jobs(Studies(database), 0)
    jobs = Jobs(database)
    job = arrivals.claim(jobs)
    results = [
        NewResult(
            one.builder,
            ds.SOPClassUID,
            ds.SOPInstanceUID,
            ds.SeriesInstanceUID,
            path,
            "0" * 64,
            edition=one.edition,
            number=1 + [earlier.builder for earlier in objects[:index]].count(one.builder),
            fault=one.fault,
        )
        for index, (one, ds, path) in enumerate(zip(objects, datasets, save_study(datasets, folder), strict=True))
    ]
    jobs.finish(job, results, profiles, arrivals.NOW, timings_s={})
    return job.id
