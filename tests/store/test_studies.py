"""Arrival: instances indexed once, studies settled once, late images a new revision."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from cad_node.errors import UnknownRow
from cad_node.lifecycle import JobState, StudyState
from cad_node.store.database import Database
from cad_node.store.jobs import Jobs
from cad_node.store.studies import Evidence, Studies, UidTaken
from cad_node.store.study_values import SeriesEvidence
from cad_node.store.tables import ConflictRow, InstanceRow
from tests.store.arrivals import MODEL, NOW, after, claim, index, new_job, queue_jobs, received, refused_job, results, settle


@pytest.fixture
def studies(database: Database) -> Studies:
    return Studies(database)


def test_the_first_image_makes_a_study_of_revision_one(studies):
    new = index(studies, received(1), NOW)

    assert new
    assert studies.receiving() == [evidence(1, NOW)]


def test_an_instance_that_comes_twice_is_one_instance_and_no_news(studies):
    index(studies, received(1), NOW)
    before = studies.receiving()

    again = index(studies, received(1), after(5))

    assert not again
    assert studies.receiving() == before
    assert studies.list()[0].instances == 1


def test_a_study_is_loaded_with_its_series_instances_and_headers(studies):
    index(studies, received(2), NOW)
    index(studies, received(1), NOW)
    index(studies, received(3, series="1.2.3.2"), NOW)

    study = studies.load("1.2.3")

    assert (study.study_instance_uid, study.revision) == ("1.2.3", 1)
    assert [(series.series_instance_uid, series.modality) for series in study.series] == [("1.2.3.1", "CT"), ("1.2.3.2", "CT")]
    assert [instance.sop_instance_uid for instance in study.series[0].instances] == ["1.2.3.9.1", "1.2.3.9.2"]
    assert study.series[0].instances[0].path == received(1).path
    assert study.series[0].instances[0].header == received(1).header


def test_an_unknown_study_is_named(studies):
    with pytest.raises(UnknownRow, match=r"9\.9\.9"):
        studies.load("9.9.9")
    with pytest.raises(UnknownRow, match=r"9\.9\.9"):
        studies.settle("9.9.9", 1, [], NOW, last_instance_at=NOW)


def test_settling_completes_the_study_and_makes_its_jobs(studies, database):
    index(studies, received(1), NOW)

    settled = settle(studies, "1.2.3", new_job(), refused_job(("breast", "2.0.0")), now=after(60))

    assert settled
    assert studies.receiving() == []
    refused, queued = Jobs(database).list()
    assert (queued.state, queued.reason, queued.model_name) == (JobState.QUEUED, "", "nodules")
    assert (refused.state, refused.reason_code, refused.reason) == (JobState.REFUSED, "no-matching-series", "the study holds no CT series")
    assert queued.uid != refused.uid


def test_settling_is_refused_if_an_image_came_meanwhile(studies, database):
    index(studies, received(1), NOW)
    (evidence,) = studies.receiving()
    index(studies, received(2), NOW)  # by the same clock reading

    settled = studies.settle("1.2.3", evidence.revision, [new_job()], NOW, last_instance_at=evidence.last_instance_at)

    assert not settled
    assert len(studies.receiving()) == 1
    assert Jobs(database).list() == []


def test_a_study_settles_once(studies, database):
    index(studies, received(1), NOW)
    (evidence,) = studies.receiving()
    settle(studies, "1.2.3", new_job())

    again = studies.settle("1.2.3", evidence.revision, [new_job()], NOW, last_instance_at=evidence.last_instance_at)

    assert not again
    assert len(Jobs(database).list()) == 1


def test_jobs_that_cannot_all_be_made_leave_the_study_receiving(studies, database):
    index(studies, received(1), NOW)

    with pytest.raises(Exception, match=r"(?i)unique"):
        settle(studies, "1.2.3", new_job(), new_job())

    assert len(studies.receiving()) == 1
    assert Jobs(database).list() == []


def test_a_late_image_reopens_a_settled_study_as_the_next_revision(studies, database):
    index(studies, received(1), NOW)
    settle(studies, "1.2.3", new_job())

    index(studies, received(2), after(600))
    index(studies, received(3), after(601))

    assert studies.receiving() == [evidence(2, after(601))]
    assert settle(studies, "1.2.3", new_job())
    assert [job.revision for job in Jobs(database).list()] == [2, 1]


def test_a_study_can_be_loaded_as_it_was_in_an_earlier_revision(studies):
    index(studies, received(1), NOW)
    settle(studies, "1.2.3")
    index(studies, received(2), NOW)

    first, second = studies.load("1.2.3", 1), studies.load("1.2.3")

    assert (first.revision, len(first.series[0].instances)) == (1, 1)
    assert (second.revision, len(second.series[0].instances)) == (2, 2)


def test_the_end_of_an_association_is_noted_until_the_next_image(studies):
    index(studies, received(1), NOW)

    studies.association_ended([("1.2.3", "1.2.3.1"), ("1.2.3", "1.2.3.7"), ("9.9.9", "9.9.9.1")], after(1))
    ended = studies.receiving()
    index(studies, received(2), after(2))

    assert ended == [evidence(1, NOW, after(1))]
    assert studies.receiving() == [evidence(1, after(2))]


def test_a_result_is_kept_but_neither_reopens_a_study_nor_is_loaded(studies):
    index(studies, received(1), NOW)
    settle(studies, "1.2.3")

    new = index(studies, received(2, series="1.2.3.2", is_result=True), after(600))

    assert new
    assert studies.receiving() == []
    assert studies.list()[0].instances == 2
    study = studies.load("1.2.3")
    assert (study.revision, [series.series_instance_uid for series in study.series]) == (1, ["1.2.3.1"])


def test_a_study_of_results_alone_is_never_complete_and_its_first_image_is_revision_one(studies):
    index(studies, received(1, is_result=True), NOW)
    before = studies.receiving()

    index(studies, received(2), after(1))

    assert before == []
    assert studies.receiving() == [evidence(1, after(1))]


def test_the_node_knows_its_own_results(studies, database):
    jobs = Jobs(database)
    queue_jobs(studies, 0)
    job = claim(jobs)
    jobs.finish(job, results(job), {}, NOW)

    known = studies.is_own_result(results(job)[0].sop_instance_uid)

    assert known
    assert not studies.is_own_result("1.2.3.9.1")


def test_another_content_of_a_uid_is_flagged_once(studies, database):
    index(studies, received(1), NOW)

    for _ in range(2):
        with pytest.raises(UidTaken):
            index(studies, received(1, content="b"), NOW)

    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(ConflictRow)) == 1
    assert studies.list()[0].conflicts == 1


def test_another_content_is_one_even_where_the_first_lay(studies):
    index(studies, received(1), NOW)

    with pytest.raises(UidTaken):
        index(studies, replace(received(1, content="b"), path=received(1).path), NOW)


def test_the_same_content_is_the_same_wherever_it_lies(studies):
    index(studies, received(1), NOW)

    assert not index(studies, replace(received(1), path=Path("/elsewhere/1.dcm")), NOW)
    assert studies.list()[0].conflicts == 0


def test_what_an_earlier_release_received_gets_a_digest_of_the_newer_kind_when_it_comes_again(studies, database):
    index(studies, received(1), NOW)

    new = index(studies, replace(received(1), digest="blake3:" + "5" * 64), NOW)

    with database.transaction() as session:
        assert session.scalars(select(InstanceRow.digest)).all() == ["blake3:" + "5" * 64]
    assert not new


def test_a_uid_that_another_study_has_already_is_refused_and_flagged(studies):
    index(studies, received(1), NOW)
    settle(studies, "1.2.3")
    thief = received(1, study="1.2.3", content="b")

    with pytest.raises(UidTaken, match=r"1\.2\.3\.9\.1"):
        index(studies, thief, after(1))

    assert studies.receiving() == []
    assert (studies.list()[0].instances, studies.list()[0].conflicts) == (1, 1)


def test_studies_are_listed_newest_first(studies):
    index(studies, received(study="1.2.1"), NOW)
    index(studies, received(study="1.2.2"), after(1))
    settle(studies, "1.2.1", new_job(MODEL))

    newest, oldest = studies.list()

    assert (newest.study_instance_uid, newest.state, newest.series, newest.instances) == ("1.2.2", StudyState.RECEIVING, 1, 1)
    assert (oldest.study_instance_uid, oldest.state) == ("1.2.1", StudyState.COMPLETE)
    assert studies.list(limit=1) == [newest]


def evidence(revision: int, last_instance_at: datetime, association_ended_at: datetime | None = None) -> Evidence:
    """Of study 1.2.3 with one series."""
    return Evidence("1.2.3", revision, last_instance_at, (SeriesEvidence("1.2.3.1", last_instance_at, association_ended_at),))
