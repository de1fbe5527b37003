"""The jobs that a study gets, as its series are whole and when it is settled."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session

from cad_node.lifecycle import JOB_MOVES, JobState
from cad_node.log import get_logger
from cad_node.store.events import SUPERVISOR, arc
from cad_node.store.job_rows import cancel
from cad_node.store.study_values import NewJob
from cad_node.store.tables import InstanceRow, JobRow, StudyRow

log = get_logger()

_STANDING = (JobState.QUEUED, JobState.RUNNING, JobState.DONE)  # its results are there or will be


def add_jobs(session: Session, study: StudyRow, jobs: Sequence[NewJob], now: datetime) -> None:
    """Make the jobs of a study's present revision; the study's row is locked.

    A job that would repeat one on an unchanged series is left out: what came since was no concern of the model.
    A job that is made takes the place of those of earlier revisions that haven't begun.
    """
    repeated = {job: earlier for job in jobs if (earlier := _same_work(session, study, job))}
    for job in jobs:
        if earlier := repeated.get(job):
            model = f"{job.model_name}/{job.model_version}"
            log.info("job.left_out", study=study.study_instance_uid, revision=study.revision, model=model, same_as=earlier)
            continue
        _add_job(session, study, job, now)


def repeat_jobs(session: Session, study: StudyRow, jobs: Sequence[NewJob], now: datetime) -> list[int]:
    """Make these jobs of a study's present revision though they repeat earlier ones; their numbers. The study's row is locked."""
    rows = [_add_job(session, study, job, now) for job in jobs]
    session.flush()  # numbers them
    return [row.id for row in rows]


def begun(session: Session, study: StudyRow, job: NewJob) -> bool:
    """Whether the model has had a job on the same images, or has one on this revision, in whatever state it is."""
    return _first(session, study, job, *_on_the_same_images(job)) is not None


def _add_job(session: Session, study: StudyRow, job: NewJob, now: datetime) -> JobRow:
    row = _job_row(study, job, now)
    session.add(row)
    if job.refusal_code is None:
        _supersede(session, study, job, now)
    return row


def _same_work(session: Session, study: StudyRow, job: NewJob) -> int | None:
    """The number of the job that does or did the same on the same images, or of the model's job on this very revision."""
    if job.refusal_code is not None:
        return None
    return _first(session, study, job, *_on_the_same_images(job), JobRow.state.in_(_STANDING))


def _first(session: Session, study: StudyRow, job: NewJob, *of_earlier_revisions: ColumnElement[bool]) -> int | None:
    is_of_this = JobRow.revision == study.revision
    wanted = (*_of_model(study, job), or_(is_of_this, and_(*of_earlier_revisions)))
    return session.scalar(select(JobRow.id).where(*wanted).order_by(JobRow.id).limit(1))


def _on_the_same_images(job: NewJob) -> tuple[ColumnElement[bool], ...]:
    image_since = exists().where(
        InstanceRow.study_instance_uid == JobRow.study_instance_uid,
        InstanceRow.series_instance_uid == JobRow.series_instance_uid,
        InstanceRow.revision > JobRow.revision,
        ~InstanceRow.is_result,
    )
    return JobRow.series_instance_uid == job.series_instance_uid, ~image_since


def _supersede(session: Session, study: StudyRow, job: NewJob, now: datetime) -> None:
    waiting, _ = arc(JOB_MOVES, "claim")
    older = (*_of_model(study, job), JobRow.revision < study.revision, JobRow.state == waiting)
    for row in session.scalars(select(JobRow).where(*older).order_by(JobRow.id).with_for_update()).all():
        cancel(session, row, now, actor=SUPERVISOR, reason=f"superseded by revision {study.revision}")


def _of_model(study: StudyRow, job: NewJob) -> tuple[ColumnElement[bool], ...]:
    """The same model's jobs on the study."""
    return (
        JobRow.study_instance_uid == study.study_instance_uid,
        JobRow.model_name == job.model_name,
        JobRow.model_version == job.model_version,
    )


def _job_row(study: StudyRow, job: NewJob, now: datetime) -> JobRow:
    refused = job.refusal_code is not None
    return JobRow(
        uid=uuid.uuid4(),
        study_instance_uid=study.study_instance_uid,
        revision=study.revision,
        series_instance_uid=job.series_instance_uid,
        evidence=job.evidence,
        model_name=job.model_name,
        model_version=job.model_version,
        priority=job.priority,
        state=JobState.REFUSED if refused else JobState.QUEUED,
        reason_code=job.refusal_code or "",
        reason=job.refusal_sentence if refused else "",
        run_after=now,
        created_at=now,
        finished_at=now if refused else None,
    )
