"""The demonstration, stage by stage: gather, send, wait for the jobs and their deliveries, read back what came."""

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
from cad_node.errors import CadNodeError
from cad_node.lifecycle import DeliveryState, JobState
from cad_node.settings import Destination
from cad_node.store.jobs import JobDetail

SETTLE_LIMIT_S = 900.0
DELIVERY_LIMIT_S = 120.0
MOST_ROWS = 10_000
UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


class Stage(Protocol):
    """A progress bar as the demonstration sees it."""

    def __call__(self, title: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]: ...


@dataclass(frozen=True, slots=True)
class Demonstration:
    """Everything that happened, for the tables and the JSON file."""

    jobs: tuple[JobDetail, ...]
    findings: tuple[FoundInObject, ...]
    objects: tuple[Path, ...]
    not_received: tuple[tuple[Path, str], ...]  # files the node didn't take, with its reason
    problems: tuple[str, ...]  # anything that was not delivered or re-read correctly
    timings_s: dict[str, float]

    @property
    def succeeded(self) -> bool:
        """At least one model ran, and all it made was delivered and read back."""
        return not self.problems and any(job.summary.state == JobState.DONE for job in self.jobs)


class NothingHappened(CadNodeError):
    """The node didn't come to an end with the study."""


def demonstrate(files: Sequence[Sendable], out: Path, work: Path, models_dir: Path, stage: Stage) -> Demonstration:
    """Send `files` to a fresh node in `work`, whose results go to an archive that writes to `out`."""
    with Archive(out) as archive, DemoNode(work, AE_TITLE, archive.port, models_dir) as node:
        started = time.monotonic()
        not_received = _send(files, node, stage)
        received = time.monotonic()
        store = open_store(node.settings)
        taken = {file.study_instance_uid for file in files} - {""}
        _await_jobs(store, node, len(taken) if len(not_received) < len(files) else 0, stage)
        settled = time.monotonic()
        _await_deliveries(store, node, stage)
        delivered = time.monotonic()
        jobs = tuple(store.jobs.show(job.id) for job in store.jobs.list(None, MOST_ROWS))
        store.database.dispose()
        objects = archive.objects()
        findings, problems = reread(objects)
        timings_s = {"receive": received - started, "settle": settled - received, "deliver": delivered - settled, **_job_timings(jobs)}
        problems = (*problems, *_undelivered(jobs), *_missing(jobs, objects))
        return Demonstration(jobs, findings, tuple(objects), not_received, problems, timings_s)


def _send(files: Sequence[Sendable], node: DemoNode, stage: Stage) -> tuple[tuple[Path, str], ...]:
    to = Destination(ae_title=node.settings.node.ae_title, host="127.0.0.1", port=node.port)
    refused = []
    with stage("sending to the node", len(files)) as advance:
        for file, outcome in zip(files, CStore(to, "DEMO", 60).send([file.path for file in files]), strict=True):
            if not outcome.delivered:
                refused.append((file.path, outcome.reason))
            advance(1)
    return tuple(refused)


def _await_jobs(store: Store, node: DemoNode, studies: int, stage: Stage) -> None:
    """Until each study is complete and each of its jobs has come to an end."""
    deadline = time.monotonic() + SETTLE_LIMIT_S
    with stage("analysing", None):
        while True:
            node.require_alive()
            jobs = store.jobs.list(None, MOST_ROWS)
            complete = len(store.studies.list(MOST_ROWS)) >= studies and not store.studies.receiving()
            if complete and all(job.state not in UNFINISHED for job in jobs):
                return
            if time.monotonic() > deadline:
                raise NothingHappened(f"no end after {SETTLE_LIMIT_S:.0f} s; the node's log is {node.log}")
            time.sleep(0.1)


def _await_deliveries(store: Store, node: DemoNode, stage: Stage) -> None:
    deadline = time.monotonic() + DELIVERY_LIMIT_S
    with stage("delivering to the archive", None):
        while store.deliveries.pending() and time.monotonic() < deadline:
            node.require_alive()
            time.sleep(0.1)


def _job_timings(jobs: Sequence[JobDetail]) -> dict[str, float]:
    """Seconds of each stage inside the worker, over all jobs."""
    total: dict[str, float] = {}
    for job in jobs:
        for name, seconds in job.summary.timings_s.items():
            total[name] = total.get(name, 0.0) + seconds
    return total


def _undelivered(jobs: Sequence[JobDetail]) -> list[str]:
    return [
        f"{delivery.sop_instance_uid} was not delivered: {delivery.state} {delivery.reason}"
        for job in jobs
        for delivery in job.deliveries
        if delivery.state != DeliveryState.DELIVERED
    ]


def _missing(jobs: Sequence[JobDetail], objects: Sequence[Path]) -> list[str]:
    """Results that the archive doesn't hold."""
    arrived = {path.stem.partition("-")[2] for path in objects}
    return [
        f"{result.sop_instance_uid} isn't in the archive"
        for job in jobs
        for result in job.results
        if result.sop_instance_uid not in arrived
    ]
