"""What the tables tell of the studies that aren't settled."""

from collections import defaultdict
from collections.abc import Iterable
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from cad_node.lifecycle import STUDY_MOVES, sources
from cad_node.store.study_values import Evidence, PerformedStep, SeriesEvidence
from cad_node.store.tables import PerformedStepRow, PerformedStepStudyRow, SeriesRow, StudyRow

_Of = TypeVar("_Of", SeriesEvidence, PerformedStep)
_UNSETTLED = StudyRow.state.in_(sources(STUDY_MOVES, "settle"))


def evidence_of_unsettled(session: Session) -> list[Evidence]:
    """Of each study that isn't settled: its series with images, and its performed procedure steps."""
    columns = StudyRow.study_instance_uid, StudyRow.revision, StudyRow.last_instance_at
    studies = session.execute(select(*columns).where(_UNSETTLED)).all()
    series, steps = _series(session), _steps(session)
    return [Evidence(uid, revision, at, tuple(series[uid]), tuple(steps[uid])) for uid, revision, at in studies]


def _series(session: Session) -> dict[str, list[SeriesEvidence]]:
    chosen = (
        select(SeriesRow)
        .join(StudyRow, StudyRow.study_instance_uid == SeriesRow.study_instance_uid)
        .where(_UNSETTLED, SeriesRow.last_instance_at.is_not(None))
        .order_by(SeriesRow.series_instance_uid)
    )
    return _by_study((row.study_instance_uid, _series_evidence(row)) for row in session.scalars(chosen))


def _series_evidence(row: SeriesRow) -> SeriesEvidence:
    assert row.last_instance_at is not None
    return SeriesEvidence(row.series_instance_uid, row.last_instance_at, row.association_ended_at, row.calling_ae_title or "")


def _steps(session: Session) -> dict[str, list[PerformedStep]]:
    columns = PerformedStepStudyRow.study_instance_uid, PerformedStepRow.sop_instance_uid, PerformedStepRow.state, PerformedStepRow.images
    chosen = (
        select(*columns)
        .join(PerformedStepRow, PerformedStepRow.sop_instance_uid == PerformedStepStudyRow.sop_instance_uid)
        .join(StudyRow, StudyRow.study_instance_uid == PerformedStepStudyRow.study_instance_uid)
        .where(_UNSETTLED)
        .order_by(PerformedStepRow.sop_instance_uid)
    )
    return _by_study((study_uid, PerformedStep(uid, state, images)) for study_uid, uid, state, images in session.execute(chosen))


def _by_study(found: Iterable[tuple[str, _Of]]) -> dict[str, list[_Of]]:
    grouped: dict[str, list[_Of]] = defaultdict(list)
    for study_instance_uid, value in found:
        grouped[study_instance_uid].append(value)
    return grouped
