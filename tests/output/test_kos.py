"""The key images, re-read by highdicom."""

from io import BytesIO

import pytest
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import dcmread
from pydicom.sr.codedict import codes

from cad_node.output.file import encode
from cad_node.output.kos import build_kos
from tests.output import case


@pytest.fixture(scope="module")
def volume():
    return case.volume()


@pytest.fixture(scope="module")
def selection(volume):
    (ds,) = build_kos(volume, case.findings(volume), case.run())
    return KeyObjectSelectionDocument.from_dataset(dcmread(BytesIO(encode(ds))))


def test_it_selects_the_image_of_each_finding_s_long_axis(volume, selection):
    slices = sorted({finding.long_axis.slice_index for finding in case.findings(volume).findings})

    selected = [item.referenced_sop_instance_uid for item in selection.content.get_references()]

    assert selected == [volume.sources[index].SOPInstanceUID for index in slices]
    assert selection.ConceptNameCodeSequence[0].CodeValue == codes.DCM.OfInterest.value


def test_evidence_is_what_it_selects_and_its_series(volume, selection):
    (study,) = selection.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence

    evidence = {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence}

    assert evidence == {item.referenced_sop_instance_uid for item in selection.content.get_references()}
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == (volume.sources[0].StudyInstanceUID, volume.series_instance_uid)


def test_it_says_which_finding_is_on_which_image(volume, selection):
    said = [item.value for item in selection.content[0].ContentSequence if item.name == codes.DCM.KeyObjectDescription]

    assert said == ["Nodule 1: image 4; Nodule 2: image 6; Nodule 3: image 7. Not for diagnostic use without review."]


def test_findings_on_one_image_select_it_once(volume):
    findings = case.findings(volume, nodules=1)
    twice = findings.__class__(findings.findings * 2, findings.organs)

    (ds,) = build_kos(volume, twice, case.run())

    assert len(KeyObjectSelection.from_sequence(KeyObjectSelectionDocument.from_dataset(ds).content).get_references()) == 1


def test_nothing_is_selected_where_nothing_was_found(volume):
    assert build_kos(volume, case.findings(volume, nodules=0), case.run()) == []
