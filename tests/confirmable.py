"""Deliveries whose rows tell the truth about their files, so that a PACS can be asked for them."""

from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset

from cad_node.objects import Profile
from cad_node.store.database import Database
from cad_node.store.jobs import Jobs
from cad_node.store.studies import Studies
from tests.factory import ct_study, save_study
from tests.store import arrivals


def queue_confirmable(database: Database, folder: Path, destination: str) -> list[Dataset]:
    """A finished job with two result files, due for `destination`; the data sets in them."""
    arrivals.queue_jobs(Studies(database), 0)
    jobs = Jobs(database)
    job = arrivals.claim(jobs)
    datasets = ct_study(slices=2)
    for ds in datasets:
        ds.StudyInstanceUID = job.study_instance_uid
    results = [
        replace(
            result,
            path=path,
            sop_class_uid=ds.SOPClassUID,
            sop_instance_uid=ds.SOPInstanceUID,
            series_instance_uid=ds.SeriesInstanceUID,
        )
        for result, path, ds in zip(arrivals.results(job), save_study(datasets, folder), datasets, strict=True)
    ]
    jobs.finish(job, results, {destination: Profile(("seg", "sr"))}, arrivals.NOW, timings_s={})
    return datasets
