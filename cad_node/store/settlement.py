"""The jobs that a study gets when it is settled."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from cad_node.lifecycle import JobState
from cad_node.store.study_values import NewJob
from cad_node.store.tables import JobRow, StudyRow


def add_jobs(session: Session, study: StudyRow, jobs: Sequence[NewJob], now: datetime) -> None:
    """Make the jobs of a study's present revision."""
    session.add_all(_job_row(study, job, now) for job in jobs)


def _job_row(study: StudyRow, job: NewJob, now: datetime) -> JobRow:
    refused = job.refusal_code is not None
    return JobRow(
        uid=uuid.uuid4(),
        study_instance_uid=study.study_instance_uid,
        revision=study.revision,
        series_instance_uid=job.series_instance_uid,
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
