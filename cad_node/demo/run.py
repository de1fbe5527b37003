"""The demonstration, stage by stage: send, wait for the jobs and their deliveries, read back what came."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cad_node.app.start import Store, open_store
from cad_node.deliver.cstore import CStore
from cad_node.deliver.gather import Sendable
from cad_node.demo.archive import AE_TITLE, Archive
from cad_node.demo.node import DemoNode
from cad_node.demo.reread import FoundInObject, reread
from cad_node.lifecycle import DeliveryState, JobState
from cad_node.manifest import read_models
from cad_node.store.jobs import JobDetail

STILL_LIMIT_S = 900.0  # nothing has moved for so long: it won't
MOST_ROWS = 10_000
UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


class Stage(Protocol):
    """A progress bar as the demonstration sees it."""

    def __call__(self, title: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]: ...


@dataclass(frozen=True, slots=True)
class Demonstration:
    """Everything that happened, for the tables and the JSON file."""

    study_instance_uids: tuple[str, ...]  # as the node received them
    jobs: tuple[JobDetail, ...]
    findings: tuple[FoundInObject, ...]
    objects: tuple[Path, ...]
    not_received: tuple[tuple[Path, str], ...]  # files the node didn't take, with its reason
    unusable_models: tuple[str, ...]
    problems: tuple[str, ...]  # anything that was not delivered or re-read correctly
    timings_s: dict[str, float]

    @property
    def succeeded(self) -> bool:
        """At least one model ran, and all it made was delivered and read back."""
        return not self.problems and any(job.summary.state == JobState.DONE for job in self.jobs)


def demonstrate(files: Sequence[Sendable], out: Path, work: Path, models_dir: Path, stage: Stage) -> Demonstration:
    """Send `files` to a fresh node in `work`, whose results go to an archive that writes to `out`. Raises NodeDied if it doesn't start."""
    with Archive(out) as archive, DemoNode(work, AE_TITLE, archive.port, models_dir) as node:
        store = open_store(node.settings)
        try:
            return _demonstrate(files, archive, node, store, stage)
        finally:
            store.database.dispose()


def _demonstrate(files: Sequence[Sendable], archive: Archive, node: DemoNode, store: Store, stage: Stage) -> Demonstration:
    started = time.monotonic()
    not_received = _send(files, node, stage)
    received = time.monotonic()
    with stage("analysing", None):
        problems = _await(lambda: _unsettled(store), node)
    settled = time.monotonic()
    if not problems:
        with stage("delivering to the archive", None):
            problems = _await(store.deliveries.pending, node)
    delivered = time.monotonic()
    jobs = tuple(store.jobs.show(job.id) for job in reversed(store.jobs.list(None, MOST_ROWS)))
    objects = archive.objects()
    findings, contradictions = reread(objects, {file.sop_instance_uid for file in files})
    return Demonstration(
        study_instance_uids=tuple(study.study_instance_uid for study in store.studies.list(MOST_ROWS)),
        jobs=jobs,
        findings=findings,
        objects=tuple(objects),
        not_received=not_received,
        unusable_models=tuple(str(error) for error in read_models(node.settings.models.dir)[1]),
        problems=(*problems, *contradictions, *_changed(archive), *_failed(jobs), *_undelivered(jobs), *_missing(jobs, objects)),
        timings_s={"receive": received - started, "settle": settled - received, "deliver": delivered - settled, **_job_timings(jobs)},
    )


def _send(files: Sequence[Sendable], node: DemoNode, stage: Stage) -> tuple[tuple[Path, str], ...]:
    refused = []
    with stage("sending to the node", len(files)) as advance:
        for file, outcome in zip(files, CStore(node.address, "DEMO", 60).send([file.path for file in files]), strict=True):
            if not outcome.delivered:
                refused.append((file.path, outcome.reason))
            advance(1)
    return tuple(refused)


def _unsettled(store: Store) -> tuple[object, ...]:
    """Studies that aren't complete and jobs that haven't come to an end."""
    receiving = store.studies.receiving()  # first: a study leaves it in the moment its jobs appear
    jobs = [(job.id, job.state, job.attempt) for job in store.jobs.list(None, MOST_ROWS) if job.state in UNFINISHED]
    return *receiving, *jobs


def _await(left: Callable[[], object], node: DemoNode) -> tuple[str, ...]:
    """Until nothing is left to do. Returns the problem if the node has ended or is stuck."""
    seen, since = left(), time.monotonic()
    while seen:
        if not node.is_alive():
            return (f"the node ended too early; {node.last_words()}",)
        if time.monotonic() - since > STILL_LIMIT_S:
            return (f"nothing has moved for {STILL_LIMIT_S:.0f} s; {node.last_words()}",)
        time.sleep(0.1)
        if (now := left()) != seen:
            seen, since = now, time.monotonic()
    return ()


def _job_timings(jobs: Sequence[JobDetail]) -> dict[str, float]:
    """Seconds of each stage inside the worker, over all jobs."""
    total: dict[str, float] = {}
    for job in jobs:
        for name, seconds in job.summary.timings_s.items():
            total[name] = total.get(name, 0.0) + seconds
    return total


def _changed(archive: Archive) -> list[str]:
    return [f"{uid} came twice, with different contents" for uid in archive.contradictions]


def _failed(jobs: Sequence[JobDetail]) -> list[str]:
    """A refused job is an answer; these are not."""
    rows = [job.summary for job in jobs]
    return [f"job {row.id} {row.state}: {row.reason}" for row in rows if row.state in (JobState.FAILED, JobState.QUARANTINED)]


def _undelivered(jobs: Sequence[JobDetail]) -> list[str]:
    return [
        f"{delivery.sop_instance_uid} was not delivered: {delivery.state} {delivery.reason}"
        for job in jobs
        for delivery in job.deliveries
        if delivery.state != DeliveryState.DELIVERED
    ]


def _missing(jobs: Sequence[JobDetail], objects: Sequence[Path]) -> list[str]:
    """Results that were to go to the archive and that it doesn't hold."""
    arrived = {path.stem.partition("-")[2] for path in objects}
    return [
        f"{delivery.sop_instance_uid} isn't in the archive"
        for job in jobs
        for delivery in job.deliveries
        if delivery.sop_instance_uid not in arrived
    ]
