"""The report of a refusal, re-read from its bytes, and in the eyes of other programs."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedSRStorage

from cad_node.errors import Refusal, UnusableSeries
from cad_node.output.file import encode
from cad_node.output.refusal import build_refusal
from cad_node.study import Instance, Series
from tests.factory import altered, ct_study
from tests.interop.tools import dciodvfy_errors, run, tool
from tests.output import case


def series_of(datasets: list[Dataset]) -> Series:
    instances = tuple(Instance(ds.SOPInstanceUID, ds.SOPClassUID, "", Path()) for ds in datasets)
    return Series(datasets[0].SeriesInstanceUID, datasets[0].Modality, instances)


def report(datasets: list[Dataset], code: Refusal = Refusal.TOO_NOISY) -> Dataset:
    judged = series_of(datasets)
    refused = UnusableSeries(code, judged.series_instance_uid, "noise of 210 HU in soft tissue, limit 150; send a smoother reconstruction")
    return build_refusal(datasets[0], [judged], refused, case.run())


def codes_of(ds: Dataset) -> dict[str, str]:
    items = [item for item in ds.ContentSequence if item.ValueType == "CODE"]
    return {item.ConceptNameCodeSequence[0].CodeMeaning: item.ConceptCodeSequence[0].CodeMeaning for item in items}


def test_it_says_in_codes_and_words_that_and_why_nothing_was_done():
    ds = dcmread(BytesIO(encode(report(ct_study()))))

    said = codes_of(ds)
    (text,) = [item.TextValue for item in ds.ContentSequence if item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"]
    assert ds.SOPClassUID == EnhancedSRStorage
    assert said["Summary of Detections"] == "Not Attempted"
    assert said["CAD Processing and Findings Summary"] == "No algorithms succeeded; without findings"
    assert said["Reason for CAD not performed"] == "Too noisy"
    assert text.startswith("CAD not performed: series ")
    assert "limit 150" in text
    assert not [item for item in ds.ContentSequence if item.ValueType in ("NUM", "SCOORD")]


def test_it_names_every_image_that_was_judged():
    datasets = ct_study(slices=5)

    ds = report(datasets)

    (study,) = (
        ds.CurrentRequestedProcedureEvidenceSequence
        if "CurrentRequestedProcedureEvidenceSequence" in ds
        else ds.PertinentOtherEvidenceSequence
    )
    (series,) = study.ReferencedSeriesSequence
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence} == {image.SOPInstanceUID for image in datasets}


def test_it_belongs_to_the_patient_and_study_it_speaks_of():
    source = ct_study(slices=2)

    ds = report(source)

    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "AccessionNumber"):
        assert ds[keyword].value == source[0][keyword].value
    assert ds.PreliminaryFlag == "PRELIMINARY"


def test_made_again_it_is_the_same():
    datasets = ct_study()

    assert encode(report(datasets)) == encode(report(datasets))


@pytest.mark.parametrize("code", [Refusal.TOO_NOISY, Refusal.NO_MATCHING_SERIES])
def test_dciodvfy_finds_no_error(code, tmp_path):
    file = tmp_path / "refusal.dcm"
    file.write_bytes(encode(report(ct_study(), code)))

    assert dciodvfy_errors(file) == []


def test_other_modalities_and_poor_headers_get_one_too(tmp_path):
    poor = [altered(ds, Modality="MR", PatientBirthDate=None, AccessionNumber=None, PatientSex="MALE") for ds in ct_study(slices=2)]
    file = tmp_path / "refusal.dcm"

    file.write_bytes(encode(report(poor)))

    assert dciodvfy_errors(file) == []


def test_dcmtk_renders_it_as_text(tmp_path):
    file = tmp_path / "refusal.dcm"
    file.write_bytes(encode(report(ct_study())))

    shown = run(tool("dsr2html", "Debian package dcmtk"), file)

    assert shown.returncode == 0
    assert "CAD not performed" in shown.stdout
    assert "Too noisy" in shown.stdout
