"""Studies, jobs and results as rows, for the tests of the store."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cad_node.store.jobs import ClaimedJob, Jobs, NewResult
from cad_node.store.studies import NewJob, ReceivedInstance, Studies, UidTaken

NOW = datetime(2026, 1, 2, 10, 11, 12, 131415, UTC)
LEASE_S = 60.0
MODEL = ("nodules", "1.0.0")
CT = "1.2.840.10008.5.1.4.1.1.2"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
SR = "1.2.840.10008.5.1.4.1.1.88.34"


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def index(studies: Studies, instance: ReceivedInstance, now: datetime) -> bool:
    """Index one instance: whether it is new. Raises UidTaken."""
    indexed = studies.index_all([instance], now)
    if indexed.conflicts:
        raise UidTaken(instance.sop_instance_uid)
    return bool(indexed.new)


def received(number: int = 1, study: str = "1.2.3", *, series: str = "", content: str = "a", is_result: bool = False) -> ReceivedInstance:
    """Instance `number` of a study; its SOP Instance UID is <study>.9.<number>."""
    return ReceivedInstance(
        study_instance_uid=study,
        series_instance_uid=series or f"{study}.1",
        sop_instance_uid=f"{study}.9.{number}",
        sop_class_uid=SEG if is_result else CT,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        modality="SEG" if is_result else "CT",
        path=Path(f"/{'spool' if content == 'a' else 'conflicts'}/{study}.9.{number}.dcm"),
        digest=f"sha256:{hashlib.sha256(content.encode()).hexdigest()}",
        header={"Rows": 512, "PixelSpacing": [0.7, 0.7], "ImageType": ["ORIGINAL", "PRIMARY"]},
        is_result=is_result,
    )


def new_job(model: tuple[str, str] = MODEL, priority: int = 0, series: str = "1.2.3.1") -> NewJob:
    return NewJob(*model, series, priority, None, "")


def refused_job(model: tuple[str, str] = MODEL) -> NewJob:
    return NewJob(*model, None, 0, "no-matching-series", "the study holds no CT series")


def settle(studies: Studies, study: str, *jobs: NewJob, now: datetime = NOW) -> bool:
    """Settle a study on the evidence there is now."""
    (evidence,) = [found for found in studies.receiving() if found.study_instance_uid == study]
    return studies.settle(study, evidence.revision, jobs, now, last_instance_at=evidence.last_instance_at)


def queue_jobs(studies: Studies, *priorities: int, model: tuple[str, str] = MODEL) -> None:
    """One study with one job for each priority."""
    for number, priority in enumerate(priorities, 1):
        study = f"1.2.{number}"
        index(studies, received(study=study), NOW)
        settle(studies, study, new_job(model, priority))


def claim(jobs: Jobs, now: datetime = NOW, worker: str = "worker") -> ClaimedJob:
    job = jobs.claim(worker, [MODEL], now, LEASE_S)
    assert job is not None
    return job


def results(job: ClaimedJob) -> list[NewResult]:
    """A Segmentation and a Structured Report."""
    return [
        NewResult("seg", SEG, f"2.25.{job.id}.1", f"2.25.{job.id}.3", Path(f"/results/{job.uid}/seg.dcm"), "5" * 64),
        NewResult("sr", SR, f"2.25.{job.id}.2", f"2.25.{job.id}.4", Path(f"/results/{job.uid}/sr.dcm"), "6" * 64),
    ]
