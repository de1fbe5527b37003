"""What has arrived becomes jobs: each model's as soon as its series is whole, the refusals with the settling."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from cad_node.errors import Refusal
from cad_node.lifecycle import JobState, StudyState
from cad_node.receive.completeness import Counts, settle_complete_studies
from cad_node.receive.evidence import News, StudyCounts
from cad_node.settings import Completeness
from cad_node.store.database import Database
from cad_node.store.jobs import Jobs
from cad_node.store.performed_steps import PerformedSteps
from cad_node.store.studies import Evidence, ReceivedInstance, Studies
from cad_node.study import Series
from tests.receive.models import a_manifest, stack

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
RULE = Completeness(quiet_s=60, association_end_s=5)


_numbers = itertools.count(1)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def a_uid() -> str:
    """Short: instances' UIDs begin with their series'."""
    return f"1.2.{next(_numbers)}"


@pytest.fixture
def studies(database: Database) -> Studies:
    return Studies(database)


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


def test_a_study_still_arriving_is_left_alone(studies: Studies) -> None:
    uid = receive(studies, chest())

    settled = settle_complete_studies(studies, [a_manifest()], RULE, after(59))

    assert settled == []
    assert [evidence.study_instance_uid for evidence in studies.receiving()] == [uid]


def test_a_complete_study_becomes_one_job_for_each_model(studies: Studies, jobs: Jobs) -> None:
    series = chest()
    uid = receive(studies, series)
    end(studies, uid, series, at=1)
    manifests = [a_manifest(), a_manifest(name="heart")]

    settled = settle_complete_studies(studies, manifests, RULE, after(6), priority=7)
    again = settle_complete_studies(studies, manifests, RULE, after(600))

    assert (settled, again) == ([uid], [])
    assert {job.model_name for job in jobs.list()} == {"lung", "heart"}
    assert {(job.state, job.priority, job.evidence) for job in jobs.list()} == {(JobState.QUEUED, 7, "association end")}
    claimed = jobs.claim("worker", [("lung", "1.0.0")], after(7), 60)
    assert claimed is not None
    assert (claimed.study_instance_uid, claimed.series_instance_uid, claimed.revision) == (uid, series.series_instance_uid, 1)


def test_a_model_that_does_not_fit_refuses_in_a_code_and_a_sentence(studies: Studies, jobs: Jobs) -> None:
    receive(studies, chest())

    settle_complete_studies(studies, [a_manifest(modality="MR")], RULE, after(61))

    (job,) = jobs.list()
    assert (job.state, job.reason_code, job.evidence) == (JobState.REFUSED, Refusal.NO_MATCHING_SERIES, "quiet")
    assert "modality CT, wanted MR" in job.reason


def test_a_refusal_that_is_to_be_told_waits_for_the_worker(studies: Studies, jobs: Jobs) -> None:
    receive(studies, chest())

    settle_complete_studies(studies, [a_manifest(modality="MR")], RULE, after(61), tell_refusals=True)

    (job,) = jobs.list()
    assert (job.state, job.series_instance_uid, job.reason) == (JobState.QUEUED, None, "")


def test_a_late_image_makes_a_new_revision_and_new_jobs(studies: Studies, jobs: Jobs) -> None:
    series = chest()
    uid = receive(studies, series)
    settle_complete_studies(studies, [a_manifest()], RULE, after(61))

    receive(studies, chest(slices=4, of=series), study=uid, at=90)
    too_early = settle_complete_studies(studies, [a_manifest()], RULE, after(149))
    settled = settle_complete_studies(studies, [a_manifest()], RULE, after(152))

    assert (too_early, settled) == ([], [uid])
    assert states(jobs) == [(1, JobState.CANCELLED), (2, JobState.QUEUED)]


def test_a_dose_report_that_comes_later_makes_no_new_jobs(studies: Studies, jobs: Jobs) -> None:
    uid = receive(studies, chest())
    settle_complete_studies(studies, [a_manifest()], RULE, after(61))

    receive(studies, chest(slices=1), study=uid, at=66)
    settled = settle_complete_studies(studies, [a_manifest()], RULE, after(130))

    assert settled == [uid]
    assert states(jobs) == [(1, JobState.QUEUED)]


def test_a_study_that_cannot_be_settled_keeps_no_other_back(studies: Studies) -> None:
    broken = receive(studies, stack(a_uid(), 1, ImageType=5))  # no list: the manifest can't read it
    good = receive(studies, chest())

    settled = settle_complete_studies(studies, [a_manifest(slices=(1, 9))], RULE, after(61))

    assert settled == [good]
    assert [evidence.study_instance_uid for evidence in studies.receiving()] == [broken]


def test_without_models_a_study_is_settled_without_jobs(studies: Studies, jobs: Jobs) -> None:
    uid = receive(studies, chest())

    settled = settle_complete_studies(studies, [], RULE, after(61))

    assert settled == [uid]
    assert studies.list()[0].state == StudyState.COMPLETE
    assert jobs.list() == []


def test_a_model_starts_while_another_series_arrives_and_the_refusals_wait_for_the_settling(studies: Studies, jobs: Jobs) -> None:
    thin, localizer = chest(), stack(a_uid(), 2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    uid = receive(studies, thin)
    end(studies, uid, thin, at=1)
    receive(studies, localizer, study=uid, at=2)
    manifests = [a_manifest(excluded="LOCALIZER"), a_manifest(name="heart", modality="MR")]

    early = settle_complete_studies(studies, manifests, RULE, after(6))
    started = [(job.model_name, job.state, job.evidence) for job in jobs.list()]
    end(studies, uid, localizer, at=30)
    settled = settle_complete_studies(studies, manifests, RULE, after(35))

    assert (early, settled) == ([], [uid])
    assert started == [("lung", JobState.QUEUED, "association end")]
    assert sorted((job.model_name, job.state) for job in jobs.list()) == [("heart", JobState.REFUSED), ("lung", JobState.QUEUED)]


def test_a_series_that_arrives_after_a_start_does_not_run_the_model_again(studies: Studies, jobs: Jobs) -> None:
    thin, thick = chest(slices=6), chest(slices=3, spacing_mm=2.5)
    uid = receive(studies, thin)
    end(studies, uid, thin, at=1)
    settle_complete_studies(studies, [a_manifest()], RULE, after(6))

    receive(studies, thick, study=uid, at=7)
    end(studies, uid, thick, at=8)
    settled = [settle_complete_studies(studies, [a_manifest()], RULE, after(seconds)) for seconds in (9, 13, 99)]

    assert settled == [[], [uid], []]
    assert states(jobs) == [(1, JobState.QUEUED)]


def test_a_later_image_of_the_series_itself_runs_the_model_again_before_the_study_is_settled(studies: Studies, jobs: Jobs) -> None:
    thin, other = chest(), chest(modality="MR")
    uid = receive(studies, thin)
    receive(studies, other, study=uid)
    end(studies, uid, thin, at=1)
    settle_complete_studies(studies, [a_manifest()], RULE, after(6))

    receive(studies, chest(slices=4, of=thin), study=uid, at=7)
    end(studies, uid, thin, at=8)
    settled = settle_complete_studies(studies, [a_manifest()], RULE, after(13))

    assert settled == []
    assert states(jobs) == [(1, JobState.CANCELLED), (2, JobState.QUEUED)]


@pytest.mark.parametrize(("spacing_mm", "starts"), [(1.25, False), (0.7, False), (2.5, True)])
def test_a_model_waits_for_a_series_that_it_might_take_instead(studies: Studies, jobs: Jobs, spacing_mm: float, starts: bool) -> None:
    whole, arriving = chest(slices=6), chest(slices=3, spacing_mm=spacing_mm)
    uid = receive(studies, whole)
    end(studies, uid, whole, at=1)
    receive(studies, arriving, study=uid, at=2)

    settle_complete_studies(studies, [a_manifest()], RULE, after(7))

    assert bool(jobs.list()) is starts


@pytest.mark.parametrize(("number", "starts"), [(5, True), (6, False), (300, False)])
def test_a_model_waits_for_a_series_that_is_announced_with_as_many_images_until_the_association_ends(
    studies: Studies, jobs: Jobs, number: int, starts: bool
) -> None:
    here = chest(slices=6)
    uid = receive(studies, here)
    counts = counting({here.series_instance_uid: 6, "1.2.840.1": number})

    settle_complete_studies(studies, [a_manifest()], RULE, after(4), counts=counts)
    at_once = [job.evidence for job in jobs.list()]
    end(studies, uid, here, at=5)
    settle_complete_studies(studies, [a_manifest()], RULE, after(10), counts=counts)

    assert at_once == (["instance count"] if starts else [])
    assert [job.evidence for job in jobs.list()] == ["instance count"]


def test_a_series_with_a_gap_waits_for_the_quiet_timer(studies: Studies, jobs: Jobs) -> None:
    series = stack(a_uid(), 6, without=[3])
    uid = receive(studies, series)
    end(studies, uid, series, at=1)

    early = settle_complete_studies(studies, [a_manifest()], RULE, after(59))
    settled = settle_complete_studies(studies, [a_manifest()], RULE, after(60.1))

    assert (early, settled) == ([], [uid])
    assert [job.evidence for job in jobs.list()] == ["quiet"]


def test_a_completed_step_starts_the_model_at_once_when_the_last_listed_image_is_here(
    studies: Studies, jobs: Jobs, database: Database
) -> None:
    series, steps = chest(slices=6), PerformedSteps(database)
    uid = receive(studies, chest(slices=5, of=series))
    steps.create("1.2.840", [uid], {}, NOON)
    steps.change("1.2.840", "complete", listing(series), NOON)

    settle_complete_studies(studies, [a_manifest()], RULE, after(0.1))
    before = jobs.list()
    receive(studies, series, study=uid, at=0.2)
    settle_complete_studies(studies, [a_manifest()], RULE, after(0.3))

    assert before == []
    assert [(job.evidence, job.revision) for job in jobs.list()] == [("MPPS completed", 1)]


def test_a_step_in_progress_starts_nothing_by_its_list_and_keeps_the_study_open(studies: Studies, jobs: Jobs, database: Database) -> None:
    series, steps = chest(), PerformedSteps(database)
    uid = receive(studies, series)
    steps.create("1.2.840", [uid], listing(series), NOON)
    end(studies, uid, series, at=1)

    at_once = settle_complete_studies(studies, [a_manifest()], RULE, after(2)), jobs.list()
    settled = settle_complete_studies(studies, [a_manifest()], RULE, after(6))

    assert at_once == ([], [])
    assert settled == []
    assert [job.evidence for job in jobs.list()] == ["association end"]


def test_a_count_at_the_sender_s_pacs_starts_the_model_while_the_association_is_open(studies: Studies, jobs: Jobs) -> None:
    series = chest(slices=6)
    receive(studies, series)

    settle_complete_studies(studies, [a_manifest()], RULE, after(2), counts=counting({series.series_instance_uid: 6}, asked_after_s=2.1))

    assert [job.evidence for job in jobs.list()] == ["instance count"]


def test_a_count_of_more_than_has_come_waits_for_the_quiet_timer(studies: Studies, jobs: Jobs) -> None:
    series = chest(slices=6)
    uid = receive(studies, series)
    end(studies, uid, series, at=1)
    counts = counting({series.series_instance_uid: 7})

    early = settle_complete_studies(studies, [a_manifest()], RULE, after(59), counts=counts)
    settled = settle_complete_studies(studies, [a_manifest()], RULE, after(61), counts=counts)

    assert (early, settled) == ([], [uid])
    assert [job.evidence for job in jobs.list()] == ["quiet"]


def test_a_study_without_news_is_not_loaded_again(studies: Studies, jobs: Jobs, database: Database) -> None:
    thin, arriving = chest(), chest(modality="MR")
    uid = receive(studies, thin)
    end(studies, uid, thin, at=1)
    loads: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *call: loads.append(call[2]) if "FROM instances" in call[2] else None)
    seen: dict[str, News] = {}

    for seconds in (2, 6, 7, 8):
        receive(studies, Series(arriving.series_instance_uid, "MR", arriving.instances[: seconds - 5]), study=uid, at=seconds)
        loads.clear()
        settle_complete_studies(studies, [a_manifest()], RULE, after(seconds), seen=seen)
        assert bool(loads) is (seconds == 6)

    settled = settle_complete_studies(studies, [a_manifest()], RULE, after(99), seen=seen)
    assert settled == [uid]
    assert states(jobs) == [(1, JobState.QUEUED)]


def chest(slices: int = 3, *, of: Series | None = None, modality: str = "CT", spacing_mm: float = 1.25) -> Series:
    """A chest series; of: the series to whose UIDs the images belong."""
    series = stack(of.series_instance_uid if of else a_uid(), slices, spacing_mm=spacing_mm)
    return Series(series.series_instance_uid, modality, series.instances)


def receive(studies: Studies, series: Series, *, study: str = "", at: float = 0) -> str:
    """Index the images of a series; returns the Study Instance UID."""
    study = study or a_uid()
    batch = [
        ReceivedInstance(
            study_instance_uid=study,
            series_instance_uid=series.series_instance_uid,
            sop_instance_uid=instance.sop_instance_uid,
            sop_class_uid=instance.sop_class_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
            modality=series.modality,
            path=instance.path,
            digest="blake3:" + "0" * 64,
            header=instance.header,
            is_result=False,
        )
        for instance in series.instances
    ]
    studies.index_all(batch, after(at))
    return study


def end(studies: Studies, study: str, series: Series, *, at: float) -> None:
    """The association that brought a series is released."""
    studies.association_ended([(study, series.series_instance_uid)], after(at))


def listing(*series: Series) -> dict[str, list[str]]:
    return {one.series_instance_uid: [instance.sop_instance_uid for instance in one.instances] for one in series}


def counting(by_series: dict[str, int], asked_after_s: float = 3) -> Counts:
    """A PACS that says what it holds of each study."""

    def latest(_evidence: Evidence, _now: datetime) -> StudyCounts:
        return StudyCounts(after(asked_after_s), by_series)

    return latest


def states(jobs: Jobs) -> Sequence[tuple[int, JobState]]:
    return sorted((job.revision, job.state) for job in jobs.list())
