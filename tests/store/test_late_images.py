"""Late images: what was analysed already isn't analysed again, and what is out of date isn't analysed at all."""

import pytest

from cad_node.lifecycle import JobState
from cad_node.store.database import Database
from cad_node.store.jobs import Jobs
from cad_node.store.studies import Studies
from tests.store.arrivals import MODEL, NOW, after, claim, index, new_job, received, refused_job, results, settle

DOSE_REPORT = "1.2.3.2"


@pytest.fixture
def studies(database: Database) -> Studies:
    """A settled study, its job queued."""
    studies = Studies(database)
    index(studies, received(1), NOW)
    settle(studies, "1.2.3", new_job())
    return studies


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


def states(jobs: Jobs) -> list[tuple[int, JobState]]:
    return sorted((job.revision, job.state) for job in jobs.list())


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.DONE])
def test_a_dose_report_after_the_images_runs_no_model_again(studies, jobs, state):
    if state is not JobState.QUEUED:
        job = claim(jobs)
    if state is JobState.DONE:
        jobs.finish(job, results(job), {}, NOW)

    for late in (2, 3):
        index(studies, received(late, series=DOSE_REPORT), after(6 * late))
        assert settle(studies, "1.2.3", new_job())

    assert states(jobs) == [(1, state)]
    assert studies.receiving() == []


@pytest.mark.parametrize("end", ["fail", "refuse", "cancel", "quarantine"])
def test_a_job_that_ended_without_result_is_tried_again_in_the_next_revision(studies, jobs, end):
    job = claim(jobs)
    ends = {
        "fail": lambda: jobs.fail(job, "no memory", NOW),
        "refuse": lambda: jobs.refuse(job, "too-few-slices", "3 slices", NOW),
        "cancel": lambda: jobs.cancel(job.id, NOW),
        "quarantine": lambda: jobs.lose_worker("worker", NOW, max_crashes=1),
    }
    ends[end]()
    index(studies, received(2, series=DOSE_REPORT), after(6))

    settle(studies, "1.2.3", new_job())

    assert (2, JobState.QUEUED) in states(jobs)


@pytest.mark.parametrize(
    "asked",
    [new_job(series=DOSE_REPORT), new_job(("nodules", "2.0.0")), new_job(("breast", "1.0.0"))],
    ids=["another series", "another version", "another model"],
)
def test_other_work_on_a_later_revision_is_done(studies, jobs, asked):
    index(studies, received(2, series=DOSE_REPORT), after(6))

    settle(studies, "1.2.3", asked)

    newest = jobs.list()[0]
    assert (newest.revision, newest.state) == (2, JobState.QUEUED)
    assert (newest.model_name, newest.model_version, newest.series_instance_uid) == (
        asked.model_name,
        asked.model_version,
        asked.series_instance_uid,
    )


def test_a_late_image_of_the_series_itself_is_analysed_once_however_much_comes_after_it(studies, jobs):
    job = claim(jobs)
    jobs.finish(job, results(job), {}, NOW)
    index(studies, received(2), after(6))
    settle(studies, "1.2.3", new_job())

    index(studies, received(3, series=DOSE_REPORT), after(12))
    settle(studies, "1.2.3", new_job())

    assert states(jobs) == [(1, JobState.DONE), (2, JobState.QUEUED)]


def test_a_result_that_lies_in_the_series_is_no_late_image(studies, jobs):
    index(studies, received(2, series=DOSE_REPORT), after(6))
    index(studies, received(3, is_result=True), after(7))

    settle(studies, "1.2.3", new_job())

    assert states(jobs) == [(1, JobState.QUEUED)]


def test_a_job_that_has_not_begun_gives_way_to_that_of_a_later_revision_and_says_so(studies, jobs):
    settle_late(studies, new_job(), new_job(("breast", "1.0.0")))

    old = jobs.show(1)
    assert states(jobs) == [(1, JobState.CANCELLED), (2, JobState.QUEUED), (2, JobState.QUEUED)]
    assert (old.summary.reason, old.summary.finished_at) == ("superseded by revision 2", after(60))
    assert [(e.event, e.actor, e.detail) for e in old.events] == [("cancel", "supervisor", "superseded by revision 2")]
    assert jobs.claim("worker", [MODEL], after(60), 60).revision == 2


def test_a_running_job_is_not_stopped_by_a_later_revision(studies, jobs):
    claim(jobs)

    settle_late(studies, new_job())

    assert states(jobs) == [(1, JobState.RUNNING), (2, JobState.QUEUED)]


@pytest.mark.parametrize(
    "lose",
    [
        lambda jobs, job: jobs.back_off(job, "no memory", after(90), after(61)),
        lambda jobs, job: jobs.release(job, after(61)),
        lambda jobs, _: jobs.lose_expired(after(120), max_attempts=3),
        lambda jobs, _: jobs.lose_worker("worker", after(61), max_crashes=2),
    ],
    ids=["it failed", "it was given back", "its lease ran out", "its worker died"],
)
@pytest.mark.parametrize(("later", "state"), [(new_job(), JobState.CANCELLED), (refused_job(), JobState.QUEUED)], ids=["run", "refused"])
def test_a_job_that_would_wait_again_gives_way_to_the_run_of_a_later_revision(studies, jobs, lose, later, state):
    job = claim(jobs)
    settle_late(studies, later)

    lose(jobs, job)

    old = jobs.show(job.id)
    assert old.summary.state is state
    if state is JobState.CANCELLED:
        assert old.summary.reason == old.events[-1].detail == "superseded by revision 2"
        assert jobs.claim("worker", [MODEL], after(200), 60).revision == 2


@pytest.mark.parametrize("later", [refused_job(), new_job(("nodules", "2.0.0"))], ids=["refused", "another version"])
def test_a_job_gives_way_only_to_its_own_model_s_next_run(studies, jobs, later):
    settle_late(studies, later)

    assert (1, JobState.QUEUED) in states(jobs)


def settle_late(studies: Studies, *jobs) -> None:
    """Settle the study again, after a late image of its only series."""
    index(studies, received(2), after(6))
    settle(studies, "1.2.3", *jobs, now=after(60))
