"""One process per device: claim a job, analyse its series, commit the results. The next is prepared while this one infers."""

import hashlib
import random
import threading
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from time import monotonic, sleep

import numpy as np
from numpy.typing import NDArray

from cad_node import __version__, pipeline
from cad_node.audit.trail import Trail
from cad_node.checks import gate
from cad_node.errors import CadNodeError, DeviceFailed, LeaseLost, ManifestError, UnusableSeries
from cad_node.heart import Heart
from cad_node.imaging.volume import Volume
from cad_node.inference.model import Model
from cad_node.inference.network import Arrays, Network
from cad_node.lifecycle import backoff_s
from cad_node.log import get_logger
from cad_node.objects import Profile
from cad_node.output.builder import Builder, EarlierObject, Run
from cad_node.output.file import encode
from cad_node.settings import Queue
from cad_node.store.database import DatabaseUnavailable
from cad_node.store.files import write_durably
from cad_node.store.jobs import ClaimedJob, Jobs, NewResult
from cad_node.store.studies import Studies

log = get_logger()

ModelKey = tuple[str, str]  # name, version
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A claimed job with its volume in memory, or with the error that loading gave."""

    job: ClaimedJob
    volume: Volume | None
    error: Exception | None
    load_s: float


@dataclass(frozen=True, slots=True)
class Worker:
    """Everything one worker process needs; built in app.py.

    models: each model this node should run, or why it can't be run on this device.
    profiles: destination name -> what it gets.
    trail: is told of the studies whose instances are read.
    """

    name: str
    models: Mapping[ModelKey, Model | ManifestError]
    tasks: Mapping[str, pipeline.Task]
    builders: Mapping[str, Builder]
    profiles: Mapping[str, Profile]
    studies: Studies
    jobs: Jobs
    results_dir: Path
    node_uid: uuid.UUID
    timezone: tzinfo
    queue: Queue
    clock: Clock
    rng: random.Random
    trail: Trail | None = None
    validator: str | None = None  # where dciodvfy lies

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then finish the present job and give the prepared one back.

        Raises DeviceFailed, so that the process ends: its next life begins with a sound device.
        """
        with ThreadPoolExecutor(1, "prepare") as preparing, self._heart() as heart:
            ahead: Prepared | None = None
            try:
                while not stop.is_set():
                    current, ahead = ahead or self._guarded_claim(heart, suspects=True), None
                    if current is None:
                        stop.wait(self.queue.poll_s)
                        continue
                    beside: Future[Prepared | None] | None = None
                    if not current.job.crashes:  # a job that has lost a worker runs alone: nothing beside it is blamed
                        beside = preparing.submit(self._guarded_claim, heart, suspects=False)
                    try:
                        self._guarded_work(current)
                    finally:
                        heart.drop(current.job)
                        ahead = beside.result() if beside else None
            finally:
                if ahead:
                    self._give_back(ahead.job, heart)

    def _heart(self) -> Heart[ClaimedJob]:
        return Heart(lambda job: self.jobs.heartbeat(job, self.clock(), self.queue.lease_s), self.queue.lease_s)

    def _guarded_claim(self, heart: Heart[ClaimedJob], *, suspects: bool) -> Prepared | None:
        try:
            return self._claim(heart, suspects=suspects)
        except Exception:
            log.exception("worker.claim_failed", worker=self.name)
            return None

    def _guarded_work(self, prepared: Prepared) -> None:
        try:
            self._work(prepared)
        except DeviceFailed:
            raise
        except Exception:
            log.exception("worker.commit_failed", worker=self.name, job=prepared.job.id)

    def _give_back(self, job: ClaimedJob, heart: Heart[ClaimedJob]) -> None:
        heart.drop(job)
        try:
            self.jobs.release(job, self.clock())
        except CadNodeError as exc:  # the lease runs out by itself
            log.warning("job.not_given_back", job=job.id, reason=str(exc))

    def _claim(self, heart: Heart[ClaimedJob], *, suspects: bool) -> Prepared | None:
        job = self.jobs.claim(self.name, self.models.keys(), self.clock(), self.queue.lease_s, suspects=suspects)
        if job is None:
            self.jobs.lose_expired(self.clock(), self.queue.max_attempts)  # nobody else may be there to see a dead worker
            return None
        heart.hold(job)
        started = monotonic()
        try:
            volume, error = self._load(job), None
        except Exception as exc:  # noqa: BLE001 - becomes the job's reason in _settle_failure
            volume, error = None, exc
        return Prepared(job, volume, error, monotonic() - started)

    def _load(self, job: ClaimedJob) -> Volume:
        model = self._model(job)
        if self.trail:
            self.trail.instances_accessed(job.study_instance_uid)
        return pipeline.prepare(self.studies.load(job.study_instance_uid, job.revision), job.series_instance_uid, model.manifest)

    def _model(self, job: ClaimedJob) -> Model:
        model = self.models[job.model_name, job.model_version]
        if isinstance(model, ManifestError):
            raise model
        return model

    def _work(self, prepared: Prepared) -> None:
        """Analyse and commit; every way it can end is a move of the job row."""
        job = prepared.job
        try:
            if prepared.error or prepared.volume is None:
                raise prepared.error or AssertionError("neither a volume nor an error")
            results, remarks, timings_s = self._analyse(job, prepared.volume)
            timings_s = {"load": prepared.load_s, **timings_s}
            self._persist(lambda: self.jobs.finish(job, results, self.profiles, self.clock(), timings_s=timings_s, remarks=remarks))
            log.info(
                "job.done", job=job.id, model=job.model_name, results=len(results), **{f"{k}_s": round(v, 2) for k, v in timings_s.items()}
            )
        except LeaseLost as exc:
            log.warning("job.lost", job=job.id, reason=str(exc))
        except DeviceFailed as exc:
            self._settle_failure(job, exc)
            raise
        except Exception as exc:  # noqa: BLE001 - a job's failure is a row, not the worker's end
            self._settle_failure(job, exc)

    def _persist(self, commit: Callable[[], None]) -> None:
        """Commit, however long the database is away: what was computed isn't thrown away, nor the job blamed for it."""
        while True:
            try:
                return commit()
            except DatabaseUnavailable as exc:
                log.warning("database.away", worker=self.name, reason=str(exc))
                sleep(self.queue.poll_s)

    def _analyse(self, job: ClaimedJob, volume: Volume) -> tuple[list[NewResult], str, dict[str, float]]:
        model = self._model(job)
        infer, find, build, check = Stopwatch(), Stopwatch(), Stopwatch(), Stopwatch()
        with find:
            networks = {role: TimedNetwork(network, infer) for role, network in model.networks.items()}
            findings = pipeline.find(volume, model.manifest, networks, self.tasks)
        run = replace(self._identity(job), supersedes=self._superseded(job))
        with build:
            built = pipeline.build(volume, findings, run, self.builders, tuple(self.profiles.values()) or (Profile(),))
            results = [self._write(job, item) for item in built]
        with check:
            superseded = {one.sop_instance_uid: one.sop_class_uid for one in run.supersedes}
            origin = gate.Origin(volume, findings, superseded)
            results = _judged(job, results, gate.faults([_written(one) for one in results], origin, self.validator))
        held = [f"{one.builder} held: {one.fault}" for one in results if one.fault]
        remarks = "; ".join([*(remark.sentence for remark in findings.remarks), *held])
        seconds = {"prepare": find.seconds - infer.seconds, "infer": infer.seconds, "build": build.seconds, "check": check.seconds}
        return results, remarks, seconds

    def _identity(self, job: ClaimedJob) -> Run:
        device = uuid.uuid5(self.node_uid, f"{job.model_name}/{job.model_version}")
        return Run(job.uid, self._model(job).manifest, job.started_at.astimezone(self.timezone), f"2.25.{device.int}", __version__)

    def _superseded(self, job: ClaimedJob) -> tuple[EarlierObject, ...]:
        return tuple(
            EarlierObject(
                one.result.builder,
                one.result.sop_class_uid,
                one.result.sop_instance_uid,
                one.result.series_instance_uid,
                one.result.edition,
                one.destinations,
            )
            for one in self.jobs.superseded(job)
        )

    def _write(self, job: ClaimedJob, built: pipeline.BuiltObject) -> NewResult:
        ds = built.dataset
        path = self.results_dir / str(job.uid) / str(job.fence) / _file_name(built)  # a worker that lost its lease writes beside
        sha256 = write_durably(path, encode(ds))
        uids = str(ds.SOPClassUID), str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID)
        return NewResult(built.builder, *uids, path, sha256, built.edition, built.number)

    def _settle_failure(self, job: ClaimedJob, error: Exception) -> None:
        now, reason = self.clock(), describe(error)
        log.warning("job.not_done", job=job.id, attempt=job.attempt, reason=reason)
        try:
            if isinstance(error, UnusableSeries):
                told = self._explain(job, error)
                self._persist(lambda: self.jobs.refuse(job, error.code, error.sentence, now, told, self.profiles))
            elif job.attempt >= self.queue.max_attempts and not getattr(error, "retryable", False):  # trouble that passes isn't the job's
                self._persist(lambda: self.jobs.fail(job, reason, now))
            else:
                wait_s = backoff_s(job.attempt, self.queue.backoff_first_s, self.queue.backoff_longest_s, self.rng)
                self._persist(lambda: self.jobs.back_off(job, reason, now + timedelta(seconds=wait_s), now))
        except LeaseLost as exc:
            log.warning("job.lost", job=job.id, reason=str(exc))

    def _explain(self, job: ClaimedJob, refused: UnusableSeries) -> list[NewResult]:
        """The report of a refusal, where a destination wants it. What hinders the report doesn't hinder the refusal."""
        if not any("refusal" in profile.objects for profile in self.profiles.values()):
            return []
        try:
            study = self.studies.load(job.study_instance_uid, job.revision)
            built = pipeline.explain(study, job.series_instance_uid, refused, self._identity(job))
            if built is None:
                return []
            result, header = self._write(job, built), pipeline.any_header(study.series)
            return _judged(job, [result], [gate.report_fault(_written(result), header or built.dataset, self.validator)])
        except Exception:
            log.exception("job.refusal_not_told", job=job.id)
            return []


def _written(result: NewResult) -> gate.WrittenObject:
    return gate.WrittenObject(result.builder, result.path, result.sop_class_uid, result.sop_instance_uid)


def _judged(job: ClaimedJob, results: Sequence[NewResult], faults: Sequence[str]) -> list[NewResult]:
    """The results with what is wrong with them, which holds them back; the files stay for inspection."""
    for result, fault in zip(results, faults, strict=True):
        if fault:
            log.error("result.held", job=job.id, object=result.builder, path=str(result.path), reason=fault)
    return [replace(result, fault=fault) for result, fault in zip(results, faults, strict=True)]


class Stopwatch:
    """Adds up the seconds spent inside it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds += monotonic() - self._started


@dataclass(frozen=True, slots=True)
class TimedNetwork:
    """A network whose running time is added up."""

    network: Network
    stopwatch: Stopwatch

    @property
    def parameters(self) -> Mapping[str, float]:
        return self.network.parameters

    def run(self, inputs: NDArray[np.float32]) -> Arrays:
        with self.stopwatch:
            return self.network.run(inputs)


def _file_name(built: pipeline.BuiltObject) -> str:
    edition = hashlib.sha256(built.edition.encode()).hexdigest()[:8] if built.edition else ""
    return "-".join(filter(None, (built.builder, edition, str(built.number) if built.number > 1 else ""))) + ".dcm"


def describe(error: Exception) -> str:
    """What went wrong, fit for a table and a log: foreign messages may quote a dataset, so only their type and place are kept."""
    if isinstance(error, CadNodeError):
        return str(error)
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error.strerror}"
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames) if "cad_node" in f.filename), "unknown place")
    return f"{type(error).__name__} at {place}"
