"""The rejection note, re-read by highdicom."""

from dataclasses import replace
from io import BytesIO

import pytest
from highdicom.ko import KeyObjectSelectionDocument
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import SegmentationStorage

from cad_node.output.builder import EarlierObject
from cad_node.output.file import encode
from cad_node.output.rejection import build_rejection
from tests.output import case


@pytest.fixture(scope="module")
def volume():
    return case.volume()


def note_on(volume, *objects):
    (ds,) = build_rejection(volume, case.findings(volume), replace(case.run(), supersedes=objects))
    return KeyObjectSelectionDocument.from_dataset(dcmread(BytesIO(encode(ds))))


def test_it_rejects_every_object_of_the_earlier_run_and_no_other(volume):
    note = note_on(volume, *case.EARLIER)

    named = [(item.referenced_sop_class_uid, item.referenced_sop_instance_uid) for item in note.content.get_references()]
    evidence = {
        (series.SeriesInstanceUID, item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
        for series in note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }

    assert named == [(one.sop_class_uid, one.sop_instance_uid) for one in case.EARLIER]
    assert evidence == {(one.series_instance_uid, one.sop_class_uid, one.sop_instance_uid) for one in case.EARLIER}


def test_it_is_of_the_same_study(volume):
    note = note_on(volume, *case.EARLIER)

    (study,) = note.CurrentRequestedProcedureEvidenceSequence

    assert note.StudyInstanceUID == study.StudyInstanceUID == volume.sources[0].StudyInstanceUID


def test_its_title_is_quality_and_it_says_why(volume):
    note = note_on(volume, *case.EARLIER)

    said = {item.name.meaning: item.value for item in note.content[0].ContentSequence if item.value_type.value in {"CODE", "TEXT"}}

    assert note.ConceptNameCodeSequence[0].CodeValue == codes.DCM.RejectedForQualityReasons.value
    assert said["Document Title Modifier"].meaning == "Superseded by a later analysis"
    assert "later analysis of the study by Lung nodules on chest CT 1.0.0" in said["Key Object Description"]


def test_what_has_pixels_is_referred_to_as_an_image(volume):
    note = note_on(volume, *case.EARLIER)

    kinds = [(item.value_type.value, item.referenced_sop_class_uid == SegmentationStorage) for item in note.content.get_references()]

    assert kinds == [("IMAGE", True), ("COMPOSITE", False), ("COMPOSITE", False), ("COMPOSITE", False)]


def test_the_source_keeps_its_own_identity(volume):
    before = volume.sources[0].SOPInstanceUID

    note_on(volume, EarlierObject("seg", SegmentationStorage, "2.25.71", "2.25.710"))

    assert volume.sources[0].SOPInstanceUID == before


def test_a_run_that_takes_nobody_s_place_rejects_nothing(volume):
    assert build_rejection(volume, case.findings(volume), case.run()) == []
