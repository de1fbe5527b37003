"""The worker: every way a job can end is a move of its row, and the next study is prepared beside the present one."""

import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.sr.coding import Code

from cad_node.disk import OutOfSpace
from cad_node.errors import DeviceFailed, ManifestError, Refusal, UnusableSeries
from cad_node.findings import Caution, Findings, Organ, Region, Remark
from cad_node.inference.model import OWN, Model
from cad_node.inference.network import load_network
from cad_node.lifecycle import DeliveryState, JobState
from cad_node.manifest import PartFolder, read_model, read_part
from cad_node.objects import Profile
from cad_node.output.labelmap import build_labelmap
from cad_node.output.seg import build_seg
from cad_node.output.sr import build_sr
from cad_node.settings import Queue
from cad_node.store.database import Database, DatabaseUnavailable
from cad_node.store.deliveries import Deliveries
from cad_node.store.jobs import JobDetail, Jobs
from cad_node.store.studies import NewJob, ReceivedInstance, Studies
from cad_node.worker import Worker, describe
from tests.factory import ct_study, save_study
from tests.shipped_models import LUNG_NODULES
from tests.store.arrivals import index

KEY = ("lung_nodule_ct", LUNG_NODULES.name)
MODEL = Model(read_model(LUNG_NODULES).manifest, {OWN: load_network(PartFolder(LUNG_NODULES, read_part(LUNG_NODULES)), "cpu", threads=1)})


class Clock:
    """Real time that tests can push forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def one_organ(volume, manifest, networks) -> Findings:
    """A task that finds no nodule and delineates the box of the factory's study."""
    return Findings((), (Organ("Left lung", Code("44029006", "SCT", "Left lung"), Region((0, 16, 16), np.ones((4, 32, 32), bool))),))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def worker(database: Database, tmp_path: Path, clock: Clock) -> Worker:
    return Worker(
        name="worker under test",
        models={KEY: MODEL},
        tasks={"analyse_lungs": one_organ},
        builders={"seg": build_seg, "sr": build_sr},
        profiles={"pacs1": Profile(("seg", "sr")), "pacs2": Profile(("sr",))},
        studies=Studies(database),
        jobs=Jobs(database),
        results_dir=tmp_path / "results",
        node_uid=uuid.UUID(int=1),
        timezone=UTC,
        queue=Queue(lease_s=1, poll_s=0.02, max_attempts=2, backoff_first_s=10, backoff_longest_s=10),
        clock=clock,
        rng=random.Random(1),
    )


@pytest.fixture
def queue_study(worker: Worker, tmp_path: Path) -> Callable[..., int]:
    """Index a study of four images with one queued job; returns the job's number."""

    def _queue_study(*, names_series: bool = True, **change: object) -> int:
        datasets = ct_study(slices=4)
        for ds in datasets:
            for keyword, value in change.items():
                setattr(ds, keyword, value)
        files = save_study(datasets, tmp_path / datasets[0].StudyInstanceUID)
        for ds, file in zip(datasets, files, strict=True):
            uids = ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, ds.SOPClassUID
            index(
                worker.studies,
                ReceivedInstance(*uids, ds.file_meta.TransferSyntaxUID, "CT", file, ds.SOPInstanceUID, {}, False),
                worker.clock(),
            )
        (evidence,) = [e for e in worker.studies.receiving() if e.study_instance_uid == datasets[0].StudyInstanceUID]
        job = NewJob(*KEY, datasets[0].SeriesInstanceUID if names_series else None, 0, None, "")
        worker.studies.settle(evidence.study_instance_uid, 1, [job], worker.clock(), last_instance_at=evidence.last_instance_at)
        return worker.jobs.list(None, 1)[0].id

    return _queue_study


def end_of(worker: Worker, job_id: int) -> JobDetail:
    """Let the worker run until it has claimed this job once more and is done with it."""
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=[stop])
    before = worker.jobs.show(job_id).summary.attempt
    thread.start()
    deadline = time.monotonic() + 20
    while (now := worker.jobs.show(job_id).summary).attempt == before or now.state == JobState.RUNNING:
        assert time.monotonic() < deadline, "the worker never came to an end with the job"
        time.sleep(0.02)
    stop.set()
    thread.join()
    return worker.jobs.show(job_id)


def failing(error: Exception) -> Callable[..., Findings]:
    def task(volume, manifest, networks) -> Findings:
        raise error

    return task


def test_a_finished_job_has_its_files_and_a_delivery_for_each_destination_that_wants_the_object(worker, queue_study):
    job = end_of(worker, queue_study())

    assert job.summary.state == JobState.DONE
    assert sorted((delivery.destination, delivery.state) for delivery in job.deliveries) == [
        ("pacs1", DeliveryState.PENDING),
        ("pacs1", DeliveryState.PENDING),
        ("pacs2", DeliveryState.PENDING),
    ]
    assert {result.builder for result in job.results} == {"seg", "sr"}
    assert all(result.path.is_file() for result in job.results)
    assert set(job.summary.timings_s) == {"load", "prepare", "infer", "build", "check"}


def shifted_seg(volume, findings, run):
    """The Segmentation one slice too low, as a defect of a builder would make it."""
    (ds,) = build_seg(volume, findings, run)
    for groups in ds.PerFrameFunctionalGroupsSequence:
        groups.PlanePositionSequence[0].ImagePositionPatient[2] -= 1.25
    return [ds]


def test_an_object_that_fails_its_check_is_held_back_with_what_refers_to_it_and_the_others_go(worker, queue_study):
    builders = {"seg": shifted_seg, "sr": build_sr, "labelmap": build_labelmap}
    held_back = replace(worker, builders=builders, profiles={"pacs1": Profile(("seg", "sr", "labelmap"))})

    job = end_of(held_back, queue_study())

    states = {result.builder: delivery.state for result, delivery in zip(job.results, job.deliveries, strict=True)}
    assert states == {"seg": DeliveryState.HELD, "sr": DeliveryState.HELD, "labelmap": DeliveryState.PENDING}
    assert job.summary.state == JobState.DONE
    assert "seg held: frame 1 lies 1.25 mm off" in job.summary.reason
    assert "sr held: it refers to seg" in job.summary.reason
    assert all(result.path.is_file() for result in job.results)


def test_a_sender_never_gets_a_held_delivery(worker, queue_study, database, clock):
    held_back = replace(worker, builders={"seg": shifted_seg}, profiles={"pacs1": Profile(("seg",))})
    end_of(held_back, queue_study())

    claimed = Deliveries(database).claim("pacs1", "a sender", clock(), 60, limit=10)

    assert claimed == []


def test_a_study_the_model_cannot_take_is_refused_with_a_code_and_a_sentence(worker, queue_study):
    job = end_of(worker, queue_study(ImageOrientationPatient=[0, 1, 0, 0, 0, -1]))

    assert job.summary.state == JobState.REFUSED
    assert job.summary.reason_code
    assert job.summary.series_instance_uid in job.summary.reason


def test_anatomy_that_is_not_there_is_a_refusal_too(worker, queue_study):
    task = failing(UnusableSeries(Refusal.ANATOMY_NOT_FOUND, "1.2.3", "no lungs"))

    job = end_of(replace(worker, tasks={"analyse_lungs": task}), queue_study())

    assert (job.summary.state, job.summary.reason_code) == (JobState.REFUSED, Refusal.ANATOMY_NOT_FOUND)


def announcing(worker: Worker) -> Worker:
    """The same worker where one of two destinations wants to know of refusals."""
    return replace(worker, profiles={"pacs1": Profile(("seg", "sr")), "pacs2": Profile(("sr", "refusal"))})


def test_a_refusal_is_told_where_a_destination_wants_it(worker, queue_study):
    job = end_of(announcing(worker), queue_study(ImageOrientationPatient=[0, 1, 0, 0, 0, -1]))

    assert (job.summary.state, job.summary.reason_code) == (JobState.REFUSED, Refusal.WRONG_ORIENTATION)
    assert [(delivery.destination, delivery.state) for delivery in job.deliveries] == [("pacs2", DeliveryState.PENDING)]
    (result,) = job.results
    told = dcmread(result.path)
    assert result.builder == "refusal"
    assert told.StudyInstanceUID == job.summary.study_instance_uid
    assert any(job.summary.reason in item.get("TextValue", "") for item in told.ContentSequence)


def test_a_refusal_is_told_to_nobody_who_did_not_ask(worker, queue_study):
    job = end_of(worker, queue_study(ImageOrientationPatient=[0, 1, 0, 0, 0, -1]))

    assert (job.results, job.deliveries) == ((), ())


def test_a_job_that_is_refused_again_is_told_of_once(worker, queue_study):
    asked, job_id = announcing(worker), queue_study(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    first = end_of(asked, job_id)
    worker.jobs.retry(job_id, worker.clock())

    again = end_of(asked, job_id)

    assert again.summary.state == JobState.REFUSED
    assert again.results == first.results
    assert len(again.deliveries) == 1


def test_a_refusal_stands_where_it_cannot_be_told(worker, queue_study, monkeypatch):
    monkeypatch.setattr("cad_node.pipeline.build_refusal", failing(OutOfSpace("no space left in results")))

    job = end_of(announcing(worker), queue_study(ImageOrientationPatient=[0, 1, 0, 0, 0, -1]))

    assert (job.summary.state, job.results) == (JobState.REFUSED, ())


def test_a_job_for_which_no_series_fits_is_refused_by_the_worker_and_told(worker, queue_study):
    job_id = queue_study(names_series=False)

    job = end_of(announcing(worker), job_id)

    assert (job.summary.state, job.summary.reason_code) == (JobState.REFUSED, Refusal.NO_MATCHING_SERIES)
    assert [delivery.destination for delivery in job.deliveries] == ["pacs2"]


def test_what_a_reader_should_know_stands_on_the_finished_job(worker, queue_study):
    def with_remark(volume, manifest, networks) -> Findings:
        return replace(one_organ(volume, manifest, networks), remarks=(Remark(Caution.SHARP_KERNEL, "sharp kernel B70f"),))

    job = end_of(replace(worker, tasks={"analyse_lungs": with_remark}), queue_study())

    assert (job.summary.state, job.summary.reason) == (JobState.DONE, "sharp kernel B70f")
    (report,) = [result for result in job.results if result.builder == "sr"]
    assert b"sharp kernel B70f" in report.path.read_bytes()


def test_a_failure_is_tried_again_later_and_fails_after_the_last_attempt(worker, clock, queue_study):
    broken = replace(worker, tasks={"analyse_lungs": failing(ValueError("patient Doe^John"))})
    job_id = queue_study()

    first = end_of(broken, job_id)
    clock.ahead += timedelta(seconds=15)
    last = end_of(broken, job_id)

    assert first.summary.state == JobState.QUEUED
    assert first.summary.run_after > first.summary.created_at + timedelta(seconds=5)
    assert last.summary.state == JobState.FAILED
    assert "ValueError" in last.summary.reason
    assert "Doe" not in last.summary.reason


def test_a_model_that_cannot_be_loaded_leaves_its_reason_on_the_job(worker, queue_study):
    broken = replace(worker, models={KEY: ManifestError(Path("model.toml"), "golden", "differs")})

    job = end_of(broken, queue_study())

    assert job.summary.state == JobState.QUEUED
    assert "model.toml: golden: differs" in job.summary.reason


def test_the_result_of_a_job_that_was_cancelled_meanwhile_is_discarded(worker, queue_study):
    job_id = queue_study()

    def cancelled_meanwhile(volume, manifest, networks) -> Findings:
        worker.jobs.cancel(job_id, worker.clock())
        return one_organ(volume, manifest, networks)

    job = end_of(replace(worker, tasks={"analyse_lungs": cancelled_meanwhile}), job_id)

    assert job.summary.state == JobState.CANCELLED
    assert job.results == ()
    assert job.deliveries == ()


def test_a_job_that_runs_longer_than_its_lease_is_kept_alive_by_the_heartbeat(worker, queue_study):
    def slow(volume, manifest, networks) -> Findings:
        time.sleep(1.8)
        assert worker.jobs.lose_expired(worker.clock(), 2) == []
        return one_organ(volume, manifest, networks)

    job = end_of(replace(worker, tasks={"analyse_lungs": slow}), queue_study())

    assert job.summary.state == JobState.DONE


def test_the_next_study_is_loaded_while_the_present_one_is_analysed(worker, queue_study):
    first, second = queue_study(), queue_study()
    seen, stop = [], threading.Event()

    def look_at_the_other(volume, manifest, networks) -> Findings:
        time.sleep(0.5)
        seen.append(worker.jobs.show(second).summary.state)
        if len(seen) == 2:
            stop.set()
        return one_organ(volume, manifest, networks)

    replace(worker, tasks={"analyse_lungs": look_at_the_other}).run(stop)

    assert seen[0] == JobState.RUNNING
    assert {worker.jobs.show(job).summary.state for job in (first, second)} == {JobState.DONE}


def test_a_job_that_has_lost_a_worker_runs_alone(worker, queue_study):
    suspect, innocent = queue_study(), queue_study()
    worker.jobs.claim("a worker that died", [KEY], worker.clock(), 60)
    worker.jobs.lose_worker("a worker that died", worker.clock(), 2)
    seen, stop = [], threading.Event()

    def look_at_the_other(volume, manifest, networks) -> Findings:
        time.sleep(0.3)
        seen.append({job: worker.jobs.show(job).summary.state for job in (suspect, innocent)})
        if len(seen) == 2:
            stop.set()
        return one_organ(volume, manifest, networks)

    replace(worker, tasks={"analyse_lungs": look_at_the_other}).run(stop)

    assert seen[0] == {suspect: JobState.RUNNING, innocent: JobState.QUEUED}


def test_stopping_finishes_the_present_job_and_gives_the_prepared_one_back(worker, queue_study):
    first, second = queue_study(), queue_study()
    stop = threading.Event()

    def stop_meanwhile(volume, manifest, networks) -> Findings:
        time.sleep(0.5)  # the other is prepared by now
        stop.set()
        return one_organ(volume, manifest, networks)

    replace(worker, tasks={"analyse_lungs": stop_meanwhile}).run(stop)

    assert worker.jobs.show(first).summary.state == JobState.DONE
    given_back = worker.jobs.show(second).summary
    assert (given_back.state, given_back.attempt) == (JobState.QUEUED, 0)


def test_a_job_run_twice_writes_the_same_bytes(worker, queue_study, tmp_path, monkeypatch):
    job_id = queue_study()
    finish = Jobs.finish

    def lost_before_the_commit(jobs, job, *rest, **more) -> None:
        monkeypatch.setattr(Jobs, "finish", finish)
        jobs.lose_worker(worker.name, worker.clock(), 9)  # as the supervisor does when the process has died
        time.sleep(1.1)  # another second on the clock must not show in the objects
        finish(jobs, job, *rest, **more)

    monkeypatch.setattr(Jobs, "finish", lost_before_the_commit)
    end_of(worker, job_id)
    job = worker.jobs.show(job_id)
    if job.summary.state != JobState.DONE:
        job = end_of(worker, job_id)

    for result in job.results:
        first, second = sorted(tmp_path.rglob(result.path.name))
        assert first.read_bytes() == second.read_bytes()
    assert [event.event for event in job.events].count("finish") == 1


def test_two_workers_share_a_queue_and_every_job_is_done_once(worker, queue_study):
    jobs = [queue_study() for _ in range(4)]
    stop = threading.Event()
    threads = [threading.Thread(target=replace(worker, name=name).run, args=[stop]) for name in ("one", "two")]

    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while worker.jobs.counts()[JobState.DONE] < len(jobs) and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()

    for job in jobs:
        detail = worker.jobs.show(job)
        assert [event.event for event in detail.events] == ["claim", "finish"]
        assert len(detail.results) == 2


def test_a_device_that_fails_ends_the_process_and_blames_no_job(worker, queue_study):
    first, second = queue_study(), queue_study()

    def fail(volume, manifest, networks) -> Findings:
        time.sleep(0.5)  # the other is prepared by now
        raise DeviceFailed("CUDAExecutionProvider: RuntimeException")

    with pytest.raises(DeviceFailed):
        replace(worker, tasks={"analyse_lungs": fail}).run(threading.Event())

    assert [worker.jobs.show(job).summary.state for job in (first, second)] == [JobState.QUEUED, JobState.QUEUED]
    assert [worker.jobs.show(job).summary.crashes for job in (first, second)] == [0, 0]


def test_trouble_that_passes_never_fails_a_job(worker, clock, queue_study):
    full = replace(worker, tasks={"analyse_lungs": failing(OutOfSpace("no space left in results"))})
    job_id = queue_study()

    for _ in range(worker.queue.max_attempts + 1):
        job = end_of(full, job_id)
        clock.ahead += timedelta(seconds=15)

    assert job.summary.state == JobState.QUEUED
    assert "no space left" in job.summary.reason


def test_a_result_is_kept_while_the_database_is_away(worker, queue_study, monkeypatch):
    job_id = queue_study()
    finish, tries = Jobs.finish, []

    def away_twice(*args, **kwargs) -> None:
        tries.append(1)
        if len(tries) <= 2:
            raise DatabaseUnavailable("connection refused")
        finish(*args, **kwargs)

    monkeypatch.setattr(Jobs, "finish", away_twice)

    job = end_of(worker, job_id)

    assert job.summary.state == JobState.DONE
    assert job.summary.attempt == 1


def test_a_foreign_error_is_told_by_type_and_place_alone():
    try:
        end_of.__wrapped__  # noqa: B018
    except AttributeError as exc:
        described = describe(exc)

    assert described.startswith("AttributeError at ")
    assert "__wrapped__" not in described
