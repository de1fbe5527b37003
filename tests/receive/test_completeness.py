from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from cad_node.errors import Refusal
from cad_node.lifecycle import JobState, StudyState
from cad_node.receive.completeness import completed, settle_complete_studies
from cad_node.settings import Completeness
from cad_node.store.database import Database
from cad_node.store.jobs import Jobs
from cad_node.store.studies import Evidence, ReceivedInstance, Studies
from tests.receive.models import a_manifest

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
RULE = Completeness(quiet_s=60, association_end_s=5)
seconds = st.floats(0, 1000)


@given(quiet_s=seconds, association_end_s=seconds, since_last_s=seconds, since_end_s=st.none() | seconds)
def test_a_study_is_complete_when_either_wait_is_over_and_not_before(
    quiet_s: float, association_end_s: float, since_last_s: float, since_end_s: float | None
) -> None:
    rule = Completeness(quiet_s=quiet_s, association_end_s=association_end_s)
    ended_at = None if since_end_s is None else NOON - timedelta(seconds=since_end_s)

    fired = completed(Evidence("1.2", 1, NOON - timedelta(seconds=since_last_s), ended_at), rule, NOON)

    over = {
        "association end": ended_at is not None and NOON - ended_at >= timedelta(seconds=association_end_s),
        "quiet": timedelta(seconds=since_last_s) >= timedelta(seconds=quiet_s),
    }
    assert bool(fired) is any(over.values())
    assert not fired or over[fired]


def test_once_complete_it_stays_so_while_nothing_arrives() -> None:
    evidence = Evidence("1.2", 1, NOON, NOON + timedelta(seconds=1))

    fired = [completed(evidence, RULE, NOON + timedelta(seconds=second)) for second in range(100)]

    assert fired == [""] * 6 + ["association end"] * 94


def test_a_study_still_arriving_is_left_alone(database: Database) -> None:
    studies = Studies(database)
    uid = _receive(studies, images=3)

    settled = settle_complete_studies(studies, [a_manifest()], RULE, NOON + timedelta(seconds=59))

    assert settled == []
    assert [evidence.study_instance_uid for evidence in studies.receiving()] == [uid]


def test_a_complete_study_becomes_one_job_for_each_model(database: Database) -> None:
    studies, jobs = Studies(database), Jobs(database)
    uid = _receive(studies, images=3)
    studies.association_ended([uid], NOON + timedelta(seconds=1))
    manifests = [a_manifest(), a_manifest(name="heart")]

    settled = settle_complete_studies(studies, manifests, RULE, NOON + timedelta(seconds=6), priority=7)
    again = settle_complete_studies(studies, manifests, RULE, NOON + timedelta(seconds=600))

    (series,) = studies.load(uid).series
    assert (settled, again) == ([uid], [])
    assert {job.model_name for job in jobs.list()} == {"lung", "heart"}
    assert {(job.state, job.priority) for job in jobs.list()} == {(JobState.QUEUED, 7)}
    claimed = jobs.claim("worker", [("lung", "1.0.0")], NOON + timedelta(seconds=7), 60)
    assert (claimed.study_instance_uid, claimed.series_instance_uid, claimed.revision) == (uid, series.series_instance_uid, 1)


def test_a_model_that_does_not_fit_refuses_in_a_code_and_a_sentence(database: Database) -> None:
    studies, jobs = Studies(database), Jobs(database)
    _receive(studies, images=3)

    settle_complete_studies(studies, [a_manifest(modality="MR")], RULE, NOON + timedelta(seconds=61))

    (job,) = jobs.list()
    assert (job.state, job.reason_code) == (JobState.REFUSED, Refusal.NO_MATCHING_SERIES)
    assert "modality CT, wanted MR" in job.reason


def test_a_refusal_that_is_to_be_told_waits_for_the_worker(database: Database) -> None:
    studies, jobs = Studies(database), Jobs(database)
    _receive(studies, images=3)

    settle_complete_studies(studies, [a_manifest(modality="MR")], RULE, NOON + timedelta(seconds=61), tell_refusals=True)

    (job,) = jobs.list()
    assert (job.state, job.series_instance_uid, job.reason) == (JobState.QUEUED, None, "")


def test_a_late_image_makes_a_new_revision_and_new_jobs(database: Database) -> None:
    studies, jobs = Studies(database), Jobs(database)
    uid = _receive(studies, images=3)
    settle_complete_studies(studies, [a_manifest()], RULE, NOON + timedelta(seconds=61))

    (series,) = studies.load(uid).series
    _receive(studies, images=1, study=uid, series=series.series_instance_uid, at=NOON + timedelta(seconds=90))
    too_early = settle_complete_studies(studies, [a_manifest()], RULE, NOON + timedelta(seconds=149))
    settled = settle_complete_studies(studies, [a_manifest()], RULE, NOON + timedelta(seconds=152))

    assert (too_early, settled) == ([], [uid])
    assert sorted((job.revision, job.state) for job in jobs.list()) == [(1, JobState.CANCELLED), (2, JobState.QUEUED)]


def test_a_dose_report_that_comes_later_makes_no_new_jobs(database: Database) -> None:
    studies, jobs = Studies(database), Jobs(database)
    uid = _receive(studies, images=3)
    settle_complete_studies(studies, [a_manifest()], RULE, NOON + timedelta(seconds=61))

    _receive(studies, images=1, study=uid, at=NOON + timedelta(seconds=66))
    settled = settle_complete_studies(studies, [a_manifest()], RULE, NOON + timedelta(seconds=130))

    assert settled == [uid]
    assert [(job.revision, job.state) for job in jobs.list()] == [(1, JobState.QUEUED)]


def test_a_study_that_cannot_be_settled_keeps_no_other_back(database: Database) -> None:
    studies = Studies(database)
    broken = _receive(studies, images=1, header={"ImageType": 5})  # no list: the manifest can't read it
    good = _receive(studies, images=3)

    settled = settle_complete_studies(studies, [a_manifest(slices=(1, 9))], RULE, NOON + timedelta(seconds=61))

    assert settled == [good]
    assert [evidence.study_instance_uid for evidence in studies.receiving()] == [broken]


def test_without_models_a_study_is_settled_without_jobs(database: Database) -> None:
    studies = Studies(database)
    uid = _receive(studies, images=1)

    settled = settle_complete_studies(studies, [], RULE, NOON + timedelta(seconds=61))

    assert settled == [uid]
    assert studies.list()[0].state == StudyState.COMPLETE
    assert Jobs(database).list() == []


def _receive(studies: Studies, images: int, *, study: str = "", series: str = "", at: datetime = NOON, header: dict | None = None) -> str:
    """Index `images` CT images of one series, all at `at`; returns the Study Instance UID."""
    study, series = study or generate_uid(), series or generate_uid()
    for _ in range(images):
        uid = generate_uid()
        received = ReceivedInstance(
            study_instance_uid=study,
            series_instance_uid=series,
            sop_instance_uid=uid,
            sop_class_uid=CTImageStorage,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            modality="CT",
            path=Path(f"/spool/{uid}.dcm"),
            sha256="0" * 64,
            header=header or {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]},
            is_result=False,
        )
        studies.index(received, at)
    return study
