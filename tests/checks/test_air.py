"""The rules of IHE AI Results on the node's own objects, on such as break one rule, and on anyone's."""

import os
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from cad_node.checks.air import Verdict, judge
from cad_node.checks.air_findings import RULES
from cad_node.checks.air_subject import Subject
from cad_node.checks.content_tree import read_content
from cad_node.checks.templates import measurement_groups
from tests.checks.objects import read, small_run
from tests.factory import ct_study

OF_AIR = ("seg", "sr", "pmap", "kos", "tree")


def own(*names: str) -> list[Subject]:
    return [Subject(f"results/{name}.dcm", read(small_run().first(name).content)) for name in names]


def verdicts(subjects: list[Subject], subject: int = 0) -> dict[str, Verdict]:
    return {one.rule.name: one.verdict for one in judge(subjects, RULES)[subject]}


def violated(subjects: list[Subject]) -> dict[str, str]:
    """Rule and file -> why."""
    return {
        f"{one.rule.name} {subject.name}": one.detail
        for subject, judgements in zip(subjects, judge(subjects, RULES), strict=True)
        for one in judgements
        if one.verdict is Verdict.VIOLATED
    }


def test_what_the_node_makes_for_air_keeps_every_rule():
    subjects = [*own(*OF_AIR), *(Subject(f"images/{index}.dcm", ds) for index, ds in enumerate(small_run().volume.sources))]

    assert violated(subjects) == {}


def test_other_objects_of_the_node_break_none_but_that_of_the_object_types():
    assert {why.split()[0] for why in violated(own("cad_sr", "gsps"))} == {"object-type"}


def test_a_rule_that_is_not_about_an_object_does_not_apply():
    judged = verdicts([Subject("image.dcm", ct_study(slices=1)[0])])

    assert set(judged.values()) == {Verdict.NOT_APPLICABLE}


def test_what_takes_several_files_cannot_be_told_from_one():
    assert verdicts(own("seg"))["device-uid"] is Verdict.CANT_TELL
    assert verdicts(own("sr"))["tracking-reused"] is Verdict.NOT_APPLICABLE
    assert verdicts(own("sr", "seg"))["tracking-reused"] is Verdict.OK


def equipment(ds: Dataset) -> Dataset:
    (item,) = (item for item in ds.ContributingEquipmentSequence if item.PurposeOfReferenceCodeSequence[0].CodeValue == "109102")
    return item


def name_another_purpose(ds: Dataset) -> None:
    equipment(ds).PurposeOfReferenceCodeSequence[0].CodeValue = "109101"


def without_procedure(ds: Dataset) -> None:
    ds.ContentSequence = [
        item for item in ds.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue != codes.DCM.ProcedureReported.value
    ]


def algorithm_as_procedure(ds: Dataset) -> None:
    (item,) = read_content(ds).of(codes.DCM.ProcedureReported)
    item.ds.ConceptCodeSequence[0].CodeMeaning = equipment(ds).ManufacturerModelName


def another_tracking_uid(ds: Dataset) -> None:
    measurement_groups(read_content(ds))[0].of(codes.DCM.TrackingUniqueIdentifier)[0].ds.UID = generate_uid()


def untracked(ds: Dataset) -> None:
    group = measurement_groups(read_content(ds))[0]
    group.ds.ContentSequence = [
        item
        for item in group.ds.ContentSequence
        if "ConceptNameCodeSequence" not in item or item.ConceptNameCodeSequence[0].CodeValue != codes.DCM.TrackingIdentifier.value
    ]


def same_observation_twice(ds: Dataset) -> None:
    first, second = measurement_groups(read_content(ds))[:2]
    first.ds.ObservationUID = second.ds.ObservationUID


def into_the_segmentation_s_series(ds: Dataset) -> None:
    ds.SeriesInstanceUID = own("seg")[0].series_instance_uid


BROKEN = [
    ("sr", name_another_purpose, "equipment"),
    ("sr", lambda ds: delattr(equipment(ds), "DeviceUID"), "equipment-details"),
    ("seg", lambda ds: setattr(equipment(ds), "SoftwareVersions", "7"), "algorithm"),
    ("seg", lambda ds: setattr(equipment(ds), "ManufacturerModelName", "another"), "algorithm"),
    ("sr", lambda ds: setattr(equipment(ds), "DeviceUID", "1.2.3"), "device-observer"),
    ("seg", lambda ds: setattr(equipment(ds), "SoftwareVersions", "7"), "device-uid"),
    ("sr", lambda ds: setattr(ds, "StudyInstanceUID", "1.2.3"), "study"),
    ("sr", lambda ds: setattr(ds, "PatientID", "another"), "patient"),
    ("sr", into_the_segmentation_s_series, "series"),
    ("sr", lambda ds: setattr(ds, "SeriesNumber", 9101), "series-number"),
    ("sr", lambda ds: setattr(ds, "SeriesNumber", None), "series-number"),
    ("sr", lambda ds: delattr(ds, "TimezoneOffsetFromUTC"), "timezone"),
    ("seg", lambda ds: setattr(ds, "ContentTime", None), "content-date"),
    ("sr", lambda ds: setattr(ds.ContentTemplateSequence[0], "TemplateIdentifier", "2000"), "measurement-report"),
    ("sr", without_procedure, "procedure-reported"),
    ("sr", algorithm_as_procedure, "procedure-reported"),
    ("sr", lambda ds: delattr(measurement_groups(read_content(ds))[0].ds, "ObservationUID"), "observation-uid"),
    ("sr", same_observation_twice, "observation-uid"),
    ("sr", untracked, "tracking"),
    ("sr", another_tracking_uid, "tracking-reused"),
    ("seg", lambda ds: delattr(ds.SegmentSequence[0], "TrackingUID"), "segment-tracking"),
    ("seg", lambda ds: delattr(ds.SegmentSequence[0], "SegmentationAlgorithmIdentificationSequence"), "segment-algorithm"),
    ("seg", lambda ds: delattr(ds, "ReferencedSeriesSequence"), "source-images"),
]


@pytest.mark.parametrize(("name", "breaking", "rule"), BROKEN)
def test_an_object_that_breaks_a_rule_is_told_so(name, breaking, rule):
    other = "seg" if name == "sr" else "sr"
    subjects = own(name, other)
    breaking(subjects[0].ds)

    assert verdicts(subjects)[rule] is Verdict.VIOLATED


def test_every_rule_can_be_violated():
    shown = {rule for _, _, rule in BROKEN} | {"object-type"}

    assert {rule.name for rule in RULES} - shown == {"algorithm-everywhere", "image-references"}


def test_two_algorithms_of_one_device_are_a_contradiction():
    subjects = own("sr", "seg")
    for segment in subjects[1].ds.SegmentSequence:
        segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion = "7"

    assert verdicts(subjects)["algorithm-everywhere"] is Verdict.VIOLATED


def test_a_report_that_names_no_image_is_told_so():
    (subject,) = own("sr")
    subject.ds.ContentSequence = []
    del subject.ds.CurrentRequestedProcedureEvidenceSequence

    assert verdicts([subject])["image-references"] is Verdict.VIOLATED


def test_details_name_no_patient():
    subjects = own("sr", "seg")
    subjects[0].ds.PatientName, subjects[0].ds.PatientID = "Somebody^Else", "SECRET-7"

    said = " ".join(one.detail for judgements in judge(subjects, RULES) for one in judgements)

    assert "PatientID differs" in said
    assert not any(word in said for word in ("Somebody", "SECRET", "TEST-1", "Test^Case"))


@pytest.mark.parametrize("attribute", ["ContributingEquipmentSequence", "ContentSequence", "SOPClassUID", "SegmentSequence"])
def test_an_object_without_the_most_of_itself_gets_verdicts_all_the_same(attribute):
    for name in ("sr", "seg"):
        (subject,) = own(name)
        if attribute in subject.ds:
            delattr(subject.ds, attribute)

        assert len(verdicts([subject])) == len(RULES)


FOREIGN = {  # file of dicom_objects -> rules that it breaks, by reading its header
    "dwv_tid1500/sr-circle.dcm": {"equipment", "device-observer", "timezone", "procedure-reported", "observation-uid"},
    "highdicom/sr_document.dcm": {"equipment", "timezone", "observation-uid"},
    "highdicom/seg_image_ct_binary.dcm": {"equipment", "timezone"},
    "dcmqi_seg/liver.dcm": {"equipment", "timezone", "segment-tracking", "segment-algorithm"},
    "highdicom/ct_image.dcm": set(),
}


@pytest.fixture
def foreign() -> Path:
    folder = Path(os.environ.get("CAD_NODE_DATA", "")) / "dicom_objects"
    if "CAD_NODE_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("CAD_NODE_DATA names no folder with dicom_objects, which other software made")
    return folder


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of values that are as others wrote them
@pytest.mark.parametrize(("file", "rules"), FOREIGN.items())
def test_foreign_objects_get_the_verdicts_that_their_headers_call_for(foreign: Path, file, rules):
    judged = verdicts([Subject(file, dcmread(foreign / file, stop_before_pixels=True))])

    assert {name for name, verdict in judged.items() if verdict is Verdict.VIOLATED} == rules


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of values that are as others wrote them
def test_no_foreign_object_is_beyond_the_rules(foreign: Path):
    subjects = [Subject(str(file), dcmread(file, stop_before_pixels=True)) for file in sorted(foreign.rglob("*.dcm"))]

    judged = judge(subjects, RULES)

    assert len(subjects) > 20
    assert [one.detail for judgements in judged for one in judgements if "can't be read" in one.detail] == []
