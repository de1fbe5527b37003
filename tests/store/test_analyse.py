"""A study that is analysed once more, because an admin asks for it: its next revision, without a new image."""

import pytest

from cad_node.errors import Removed, UnknownRow
from cad_node.lifecycle import JobState, StudyState
from cad_node.retention import Kind
from cad_node.store.database import Database
from cad_node.store.jobs import Jobs
from cad_node.store.removals import Removals
from cad_node.store.studies import StillArriving, Studies
from tests.store.arrivals import NOW, after, claim, index, new_job, received, refused_job, results, settle

STUDY = "1.2.3"


@pytest.fixture
def studies(database: Database) -> Studies:
    """A settled study with a queued job."""
    studies = Studies(database)
    index(studies, received(1), NOW)
    settle(studies, STUDY, new_job())
    return studies


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


def states(jobs: Jobs) -> list[tuple[int, JobState]]:
    return sorted((job.revision, job.state) for job in jobs.list())


def test_work_that_was_done_is_done_again_in_the_next_revision(studies, jobs):
    job = claim(jobs)
    jobs.finish(job, results(job), {}, NOW)

    (number,) = studies.analyse(STUDY, 1, [new_job()], after(60))

    assert states(jobs) == [(1, JobState.DONE), (2, JobState.QUEUED)]
    assert jobs.show(number).summary.revision == 2
    assert len(studies.load(STUDY, 2).series[0].instances) == 1
    assert [(study.state, study.revision) for study in studies.list()] == [(StudyState.COMPLETE, 2)]


def test_a_job_that_waits_gives_way_to_the_one_asked_for(studies, jobs):
    studies.analyse(STUDY, 1, [new_job()], after(60))

    assert states(jobs) == [(1, JobState.CANCELLED), (2, JobState.QUEUED)]


def test_a_model_that_cannot_take_it_is_refused_at_once(studies, jobs):
    (number,) = studies.analyse(STUDY, 1, [refused_job(("breast", "1.0.0"))], after(60))

    assert jobs.show(number).summary.reason_code == "no-matching-series"


def test_the_next_late_image_is_of_the_revision_after(studies, jobs):
    studies.analyse(STUDY, 1, [new_job()], after(60))
    index(studies, received(2), after(70))

    settle(studies, STUDY, new_job())

    assert states(jobs) == [(1, JobState.CANCELLED), (2, JobState.CANCELLED), (3, JobState.QUEUED)]
    assert len(studies.load(STUDY, 2).series[0].instances) == 1


def test_a_report_that_comes_later_does_not_repeat_what_was_asked_for(studies, jobs):
    studies.analyse(STUDY, 1, [new_job()], after(60))
    index(studies, received(2, series="1.2.3.2"), after(70))

    settle(studies, STUDY, new_job())

    assert states(jobs) == [(1, JobState.CANCELLED), (2, JobState.QUEUED)]


def test_a_study_that_is_still_arriving_is_not_analysed(studies, jobs):
    index(studies, received(2), after(6))

    with pytest.raises(StillArriving, match=r"1\.2\.3 is receiving; wait"):
        studies.analyse(STUDY, 2, [new_job()], after(7))

    assert states(jobs) == [(1, JobState.QUEUED)]


def test_jobs_that_were_chosen_from_an_earlier_revision_are_not_made(studies, jobs):
    studies.analyse(STUDY, 1, [new_job()], after(6))

    with pytest.raises(StillArriving):
        studies.analyse(STUDY, 1, [new_job()], after(7))

    assert states(jobs) == [(1, JobState.CANCELLED), (2, JobState.QUEUED)]


def test_a_study_whose_images_were_removed_is_not_analysed(studies, jobs, database):
    job = claim(jobs)
    jobs.finish(job, results(job), {}, NOW)
    removals = Removals(database)
    (stored,) = removals.oldest(Kind.INPUTS, None, 1)
    removals.remove(stored, after(100))

    with pytest.raises(Removed, match=r"1\.2\.3 were removed on 2026-01-02; send it again"):
        studies.analyse(STUDY, 1, [new_job()], after(200))


def test_a_study_that_is_not_there_is_told_by_its_uid(studies):
    with pytest.raises(UnknownRow, match=r"no study 1\.2\.9"):
        studies.analyse("1.2.9", 1, [new_job()], NOW)


def test_a_study_of_results_alone_holds_nothing_to_analyse(studies):
    index(studies, received(1, "1.2.4", is_result=True), NOW)

    with pytest.raises(UnknownRow, match=r"1\.2\.4 holds no image"):
        studies.analyse("1.2.4", 0, [new_job()], NOW)
