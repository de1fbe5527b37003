"""Performed procedure steps as a modality sends them, and what becomes of the study whose images they list."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom.association import Association
from pynetdicom.sop_class import ModalityPerformedProcedureStep
from sqlalchemy import select, text

from cad_node.lifecycle import STEP_MOVES, StepState
from cad_node.receive.completeness import settle_complete_studies
from cad_node.receive.mpps import PerformedProcedureSteps
from cad_node.settings import Completeness
from cad_node.store.database import Database
from cad_node.store.jobs import Jobs
from cad_node.store.performed_steps import PerformedSteps
from cad_node.store.tables import PerformedStepRow, PerformedStepStudyRow
from tests.factory import ct_study
from tests.receive.front_door import FrontDoor, opened_front_door, utc_now, wait_until
from tests.receive.models import a_manifest

MPPS = ModalityPerformedProcedureStep
NEVER = Completeness(quiet_s=9999, association_end_s=9999)


@pytest.fixture(scope="module", params=["fast", "plain"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    """By both ways of serving associations."""
    with opened_front_door(tmp_path_factory.mktemp("mpps"), fast=request.param == "fast", services=_services) as opened:
        yield opened


def _services(database: Database) -> list[PerformedProcedureSteps]:
    return [PerformedProcedureSteps(PerformedSteps(database), utc_now)]


@dataclass
class Modality:
    """What a CT scanner says of one step of an examination."""

    association: Association
    uid: str = field(default_factory=generate_uid)
    study: str = field(default_factory=generate_uid)

    def begin(self, **values: Any) -> Dataset:
        status, _ = self.association.send_n_create(self._begun() | values, MPPS, self.uid)
        return status

    def change(self, status: str | None, series: Sequence[Dataset] | None = None) -> Dataset:
        ds = Dataset()
        if status is not None:
            ds.PerformedProcedureStepStatus = status
        if series is not None:
            ds.PerformedSeriesSequence = list(series)
        answer, _ = self.association.send_n_set(ds, MPPS, self.uid)
        return answer

    def _begun(self) -> "Attributes":
        scheduled = Dataset()
        scheduled.StudyInstanceUID = self.study
        return Attributes(
            PerformedProcedureStepStatus="IN PROGRESS",
            ScheduledStepAttributesSequence=[scheduled],
            PatientName="Test^Case",
            PatientID="TEST-1",
            PatientBirthDate="19600101",
            PerformedSeriesSequence=[],
        )


class Attributes(Dataset):
    """A data set made of keywords; None leaves an attribute out."""

    def __init__(self, **values: Any) -> None:
        super().__init__()
        self._take(values)

    def __or__(self, values: dict[str, Any]) -> "Attributes":
        self._take(values)
        return self

    def _take(self, values: dict[str, Any]) -> None:
        for keyword, value in values.items():
            if value is not None:
                setattr(self, keyword, value)
            elif keyword in self:
                delattr(self, keyword)


@pytest.fixture
def modality(node: FrontDoor) -> Iterator[Modality]:
    association = node.associate((MPPS, ExplicitVRLittleEndian))
    yield Modality(association)
    association.release()


def series_of(*images: Dataset) -> Dataset:
    """An item of the Performed Series Sequence."""
    item = Dataset()
    item.SeriesInstanceUID = images[0].SeriesInstanceUID
    item.ReferencedImageSequence = [reference(ds.SOPClassUID, ds.SOPInstanceUID) for ds in images]
    return item


def reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def step(node: FrontDoor, modality: Modality) -> PerformedStepRow | None:
    with node.database.reading() as session:
        return session.scalar(select(PerformedStepRow).where(PerformedStepRow.sop_instance_uid == modality.uid))


def test_a_step_is_kept_with_its_study_its_state_and_the_images_it_lists(node: FrontDoor, modality: Modality) -> None:
    images = ct_study(slices=3)

    statuses = [modality.begin().Status, modality.change("COMPLETED", [series_of(*images)]).Status]

    kept = step(node, modality)
    assert kept is not None
    with node.database.reading() as session:
        studies = session.scalars(
            select(PerformedStepStudyRow.study_instance_uid).where(PerformedStepStudyRow.sop_instance_uid == modality.uid)
        )
        assert list(studies) == [modality.study]
    assert statuses == [0x0000, 0x0000]
    assert kept.state is StepState.COMPLETED
    assert kept.images == {images[0].SeriesInstanceUID: sorted(ds.SOPInstanceUID for ds in images)}


def test_reports_that_a_step_lists_beside_the_images_do_not_count(node: FrontDoor, modality: Modality) -> None:
    images = ct_study(slices=1)
    item = series_of(*images)
    item.ReferencedNonImageCompositeSOPInstanceSequence = [reference("1.2.840.10008.5.1.4.1.1.88.67", "1.2.3.4")]
    modality.begin()

    modality.change("COMPLETED", [item])

    kept = step(node, modality)
    assert kept is not None
    assert kept.images == {images[0].SeriesInstanceUID: [images[0].SOPInstanceUID]}


@pytest.mark.parametrize("end", [StepState.COMPLETED, StepState.DISCONTINUED])
@pytest.mark.parametrize("then", list(StepState))
def test_a_step_that_has_ended_may_no_longer_be_updated(node: FrontDoor, modality: Modality, end: StepState, then: StepState) -> None:
    modality.begin()
    modality.change(end)

    answer = modality.change(then, [series_of(*ct_study(slices=1))])

    kept = step(node, modality)
    assert kept is not None
    assert (answer.Status, answer.ErrorID) == (0x0110, 0xA710)  # PS3.4 F.7.2.2.2
    assert (kept.state, kept.images) == (end, {})
    assert not [state for state, _ in STEP_MOVES if state is end]


def test_a_step_in_progress_may_be_updated_as_often_as_the_modality_likes(node: FrontDoor, modality: Modality) -> None:
    images = ct_study(slices=2)
    modality.begin()

    statuses = [modality.change("IN PROGRESS", [series_of(*images[: number + 1])]).Status for number in range(2)]
    statuses.append(modality.change(None, [series_of(*images)]).Status)

    kept = step(node, modality)
    assert kept is not None
    assert statuses == [0x0000] * 3
    assert (kept.state, sorted(map(len, kept.images.values()))) == (StepState.IN_PROGRESS, [2])


def test_a_second_step_of_one_uid_is_a_duplicate(modality: Modality) -> None:
    modality.begin()

    assert modality.begin().Status == 0x0111


def test_a_step_that_nobody_began_is_unknown(modality: Modality) -> None:
    assert modality.change("COMPLETED").Status == 0x0112


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"PerformedProcedureStepStatus": "COMPLETED"}, 0x0106),
        ({"PerformedProcedureStepStatus": "READY"}, 0x0106),
        ({"PerformedProcedureStepStatus": None}, 0x0120),
        ({"PerformedProcedureStepStatus": ""}, 0x0121),
        ({"ScheduledStepAttributesSequence": None}, 0x0120),
        ({"ScheduledStepAttributesSequence": [Dataset()]}, 0x0120),
        ({"PerformedSeriesSequence": [Dataset()]}, 0x0106),
    ],
)
def test_a_step_that_can_not_be_begun_is_answered_with_why(
    node: FrontDoor, modality: Modality, values: dict[str, Any], status: int
) -> None:
    answer = modality.begin(**values)

    assert (answer.Status, bool(answer.ErrorComment)) == (status, True)
    assert step(node, modality) is None
    assert modality.association.send_c_echo().Status == 0x0000


def test_an_unknown_status_changes_nothing(node: FrontDoor, modality: Modality) -> None:
    modality.begin()

    answer = modality.change("FINISHED")

    kept = step(node, modality)
    assert kept is not None
    assert (answer.Status, kept.state) == (0x0106, StepState.IN_PROGRESS)


def test_nothing_of_the_patient_is_kept_or_logged(node: FrontDoor, modality: Modality, capsys: pytest.CaptureFixture[str]) -> None:
    modality.begin()
    modality.change("COMPLETED", [series_of(*ct_study(slices=1))])
    modality.begin()

    logged = capsys.readouterr().out
    with node.database.reading() as session:
        rows = str(session.execute(text("SELECT * FROM performed_steps")).all())
    assert "mpps.begun" in logged
    assert not [secret for secret in ("Test^Case", "TEST-1", "19600101") if secret in logged + rows]


def test_a_model_starts_when_the_images_that_a_completed_step_lists_are_here_while_the_association_is_open(
    node: FrontDoor, modality: Modality
) -> None:
    images = ct_study(slices=4)
    modality.study = images[0].StudyInstanceUID
    modality.begin()
    node.send(*images[:3])
    modality.change("COMPLETED", [series_of(*images)])

    settle_complete_studies(node.studies, [a_manifest()], NEVER, utc_now())
    early = _jobs(node, modality)
    node.send(images[3])
    wait_until(lambda: node.study(modality.study).instances == 4)
    settle_complete_studies(node.studies, [a_manifest()], NEVER, utc_now())

    assert early == []
    assert _jobs(node, modality) == [(images[0].SeriesInstanceUID, "MPPS completed")]


def test_a_discontinued_step_is_no_evidence_and_keeps_nothing_open(node: FrontDoor, modality: Modality) -> None:
    images = ct_study(slices=4)
    modality.study = images[0].StudyInstanceUID
    modality.begin()
    modality.change("DISCONTINUED", [series_of(*images)])
    node.send(*images)

    settle_complete_studies(node.studies, [a_manifest()], NEVER, utc_now())
    by_list = _jobs(node, modality)
    rule = Completeness(quiet_s=9999, association_end_s=0)
    wait_until(lambda: modality.study in settle_complete_studies(node.studies, [a_manifest()], rule, utc_now()))

    assert by_list == []
    assert _jobs(node, modality) == [(images[0].SeriesInstanceUID, "association end")]


def _jobs(node: FrontDoor, modality: Modality) -> list[tuple[str | None, str | None]]:
    return [(job.series_instance_uid, job.evidence) for job in Jobs(node.database).list() if job.study_instance_uid == modality.study]
