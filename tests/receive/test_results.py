"""What was made from images is kept, but is never input."""

import uuid
from datetime import timedelta

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)
from sqlalchemy import event

from cad_node.lifecycle import StudyState
from cad_node.receive.completeness import settle_complete_studies
from cad_node.settings import Completeness
from cad_node.store.jobs import Jobs, NewResult
from tests.factory import altered, ct_study
from tests.receive.front_door import FrontDoor, identity, store, utc_now
from tests.receive.models import a_manifest

AT_ONCE = Completeness(quiet_s=0, association_end_s=0)
DERIVED = (
    Comprehensive3DSRStorage,
    SegmentationStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    RTStructureSetStorage,
    EncapsulatedPDFStorage,
)


@pytest.mark.parametrize("sop_class_uid", DERIVED)
def test_a_report_from_elsewhere_reopens_no_study(front_door: FrontDoor, sop_class_uid: str) -> None:
    study = ct_study(slices=3)
    uid = study[0].StudyInstanceUID
    front_door.send(*study)
    settle_complete_studies(front_door.studies, [], AT_ONCE, utc_now())

    statuses = front_door.send(identity(sop_class_uid, StudyInstanceUID=uid))

    assert statuses == [0x0000]
    summary = front_door.study(uid)
    assert (summary.state, summary.revision, summary.instances) == (StudyState.COMPLETE, 1, 4)
    assert len(front_door.studies.load(uid).series) == 1


def test_an_image_that_another_cad_system_made_reopens_no_study(front_door: FrontDoor) -> None:
    study = ct_study(slices=3)
    front_door.send(*study[:2])
    settle_complete_studies(front_door.studies, [], AT_ONCE, utc_now())

    front_door.send(_processed(study[2], "DERIVED"))

    summary = front_door.study(study[0].StudyInstanceUID)
    assert (summary.state, summary.revision, summary.instances) == (StudyState.COMPLETE, 1, 3)


@pytest.mark.parametrize("pixels", ["ORIGINAL", "MIXED", ""])
def test_a_ct_that_a_router_or_a_workstation_touched_is_input(front_door: FrontDoor, pixels: str) -> None:
    study = [_processed(ds, pixels) for ds in ct_study(slices=3)]

    front_door.send(*study)

    (series,) = front_door.studies.load(study[0].StudyInstanceUID).series
    assert len(series.instances) == 3


def test_a_reformatted_image_is_input(front_door: FrontDoor) -> None:
    ds = altered(ct_study(slices=1)[0], ImageType=["DERIVED", "SECONDARY", "MPR"])

    front_door.send(ds)

    assert len(front_door.studies.load(ds.StudyInstanceUID).series) == 1


def test_images_that_tell_by_themselves_what_they_are_cost_one_transaction_together(own_front_door: FrontDoor) -> None:
    begun: list[object] = []
    original, derived = ct_study(slices=1)[0], _processed(ct_study(slices=1)[0], "DERIVED")
    association = own_front_door.associate()
    event.listen(own_front_door.database.engine, "begin", begun.append)

    statuses = [store(association, ds).Status for ds in (original, derived)]

    association.release()
    assert statuses == [0x0000, 0x0000]
    assert len(begun) <= 3  # one for both, or two where they came apart; and the association's end


def test_an_image_that_this_node_made_reopens_no_study(own_front_door: FrontDoor) -> None:
    study, jobs = ct_study(slices=3), Jobs(own_front_door.database)
    made = altered(study[2], ImageType=["DERIVED", "SECONDARY"])
    own_front_door.send(*study[:2])
    settle_complete_studies(own_front_door.studies, [a_manifest(slices=(1, 9))], AT_ONCE, utc_now())
    job = jobs.claim("worker", [("lung", "1.0.0")], utc_now() + timedelta(seconds=1), 60)
    result = NewResult("image", made.SOPClassUID, made.SOPInstanceUID, made.SeriesInstanceUID, own_front_door.folder / "r.dcm", "0" * 64)
    jobs.finish(job, [result], {}, utc_now())

    own_front_door.send(made)

    summary = own_front_door.study(made.StudyInstanceUID)
    assert isinstance(job.uid, uuid.UUID)
    assert (summary.state, summary.revision, summary.instances) == (StudyState.COMPLETE, 1, 3)


def test_a_study_with_nothing_but_results_gets_no_job(own_front_door: FrontDoor) -> None:
    own_front_door.send(identity(SegmentationStorage))

    settle_complete_studies(own_front_door.studies, [a_manifest()], AT_ONCE, utc_now())

    assert Jobs(own_front_door.database).list() == []


def _processed(ds: Dataset, pixels: str) -> Dataset:
    """A copy that names equipment which processed it; pixels: value 1 of Image Type."""
    purpose, equipment = Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = "109102", "DCM", "Processing Equipment"
    equipment.Manufacturer, equipment.PurposeOfReferenceCodeSequence = "Another", Sequence([purpose])
    return altered(ds, ContributingEquipmentSequence=Sequence([equipment]), ImageType=[pixels, "PRIMARY"])
