"""Models that begin before their study is settled: once on the same images, on what had come until then."""

import pytest

from cad_node.errors import UnknownRow
from cad_node.lifecycle import JobState, StudyState
from cad_node.store.database import Database
from cad_node.store.jobs import Jobs
from cad_node.store.studies import NewJob, Studies
from tests.store.arrivals import MODEL, NOW, after, claim, index, new_job, received, refused_job, settle

OTHER_SERIES = "1.2.3.2"


@pytest.fixture
def studies(database: Database) -> Studies:
    """A study with one image."""
    studies = Studies(database)
    index(studies, received(1), NOW)
    return studies


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


def start(studies: Studies, *wanted: NewJob, at: float = 1) -> tuple[NewJob, ...]:
    """Start models on the evidence there is now."""
    (evidence,) = studies.receiving()
    return studies.start(
        "1.2.3", wanted, after(at), last_instance_at={one.series_instance_uid: one.last_instance_at for one in evidence.series}
    )


def states(jobs: Jobs) -> list[tuple[int, JobState]]:
    return sorted((job.revision, job.state) for job in jobs.list())


def test_a_model_starts_while_its_study_stays_open_and_its_job_says_why(studies, jobs):
    job = NewJob(*MODEL, "1.2.3.1", 0, None, "", "instance count")

    started = start(studies, job)

    assert started == (job,)
    assert (studies.list()[0].state, len(studies.receiving())) == (StudyState.STARTED, 1)
    assert [(row.state, row.revision, row.evidence) for row in jobs.list()] == [(JobState.QUEUED, 1, "instance count")]


def test_a_model_starts_once_on_the_same_images_and_others_beside_it(studies, jobs):
    start(studies, new_job())

    again = start(studies, new_job(), new_job(("breast", "1.0.0")))

    assert [job.model_name for job in again] == ["breast"]
    assert states(jobs) == [(1, JobState.QUEUED)] * 2


def test_what_comes_after_a_start_is_of_the_next_revision_and_the_model_sees_none_of_it(studies, jobs):
    start(studies, new_job())

    index(studies, received(2, series=OTHER_SERIES), after(2))
    index(studies, received(3), after(3))

    seen = studies.load("1.2.3", claim(jobs, after(9)).revision)
    assert [len(series.instances) for series in seen.series] == [1]
    assert (studies.list()[0].state, studies.load("1.2.3").revision) == (StudyState.RECEIVING, 2)


def test_another_series_neither_starts_the_model_again_nor_does_the_settling(studies, jobs):
    start(studies, new_job())
    index(studies, received(2, series=OTHER_SERIES), after(2))

    again = start(studies, new_job())
    settled = settle(studies, "1.2.3", new_job(), refused_job(("breast", "1.0.0")))

    assert (again, settled) == ((), True)
    assert states(jobs) == [(1, JobState.QUEUED), (2, JobState.REFUSED)]


def test_a_study_without_later_images_is_settled_in_the_revision_of_the_start(studies, jobs):
    start(studies, new_job())

    settle(studies, "1.2.3", new_job(), refused_job(("breast", "1.0.0")))

    assert states(jobs) == [(1, JobState.QUEUED), (1, JobState.REFUSED)]
    assert studies.receiving() == []


def test_a_later_image_of_the_series_starts_the_model_again_in_place_of_the_job_that_waits(studies, jobs):
    start(studies, new_job())
    index(studies, received(2), after(2))

    start(studies, new_job())

    assert states(jobs) == [(1, JobState.CANCELLED), (2, JobState.QUEUED)]
    assert len(studies.load("1.2.3", claim(jobs, after(9)).revision).series[0].instances) == 2


def test_a_model_is_not_started_on_a_series_that_an_image_of_has_come_since(studies, jobs):
    (evidence,) = studies.receiving()
    index(studies, received(2), after(1))

    started = studies.start("1.2.3", [new_job()], after(2), last_instance_at={"1.2.3.1": evidence.series[0].last_instance_at})

    assert (started, states(jobs)) == ((), [])
    assert studies.list()[0].state == StudyState.RECEIVING


def test_an_image_of_another_series_meanwhile_hinders_no_start(studies, jobs):
    (evidence,) = studies.receiving()
    index(studies, received(2, series=OTHER_SERIES), after(1))

    studies.start("1.2.3", [new_job()], after(2), last_instance_at={"1.2.3.1": evidence.series[0].last_instance_at})

    assert states(jobs) == [(1, JobState.QUEUED)]


def test_a_job_that_failed_is_tried_again_by_the_settling_and_not_by_each_image_before(studies, jobs):
    start(studies, new_job())
    jobs.fail(claim(jobs, after(1)), "no memory", after(1))

    for late in (2, 3):
        index(studies, received(late, series=OTHER_SERIES), after(late))
        assert start(studies, new_job()) == ()
    settle(studies, "1.2.3", new_job())

    assert states(jobs) == [(1, JobState.FAILED), (2, JobState.QUEUED)]


def test_a_settled_study_starts_nothing(studies, jobs):
    (evidence,) = studies.receiving()
    settle(studies, "1.2.3")

    started = studies.start("1.2.3", [new_job()], NOW, last_instance_at={"1.2.3.1": evidence.series[0].last_instance_at})

    assert (started, states(jobs)) == ((), [])


def test_an_unknown_study_is_named(studies):
    with pytest.raises(UnknownRow, match=r"9\.9\.9"):
        studies.start("9.9.9", [new_job()], NOW, last_instance_at={})
