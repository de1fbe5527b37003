"""The gate: what the node makes passes; what is broken in any one way is caught, with a sentence that names it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from cad_node.checks.content_tree import read_content
from cad_node.checks.gate import WrittenObject, report_fault
from cad_node.checks.templates import measurement_groups
from cad_node.checks.validator import validated, validator
from cad_node.errors import Refusal, UnusableSeries
from cad_node.findings import Findings
from cad_node.output.file import encode
from cad_node.output.refusal import build_refusal
from cad_node.study import Series
from tests.checks.objects import altered, broken, judged, judged_alone, made, put_raw, small_run, with_broken
from tests.factory import altered as altered_source
from tests.factory import ct_study
from tests.interop.tools import tool
from tests.output import case

CASES = {
    "three nodules in two lungs": (case.measured_findings, 3),
    "a nodule": (case.findings, 1),
    "no nodule in two lungs": (case.measured_findings, 0),
    "nothing at all": (lambda volume, _: Findings((), ()), 0),
}


@pytest.mark.parametrize("keeps_empty_frames", [False, True])
@pytest.mark.parametrize(("find", "nodules"), CASES.values(), ids=CASES.keys())
def test_every_object_that_the_node_makes_passes(find, nodules, keeps_empty_frames, tmp_path: Path):
    volume = case.volume()
    findings = find(volume, nodules)
    run = made(volume, findings, keeps_empty_frames=keeps_empty_frames)

    said = judged(run, tmp_path)

    assert {"sr-1", "tree-1"} <= said.keys()
    assert {name: fault for name, fault in said.items() if fault} == {}


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of the values that are wrong on purpose
def test_what_the_source_says_of_patient_and_study_holds_nothing_back(tmp_path: Path):
    odd = {"PatientID": "12\\34", "AccessionNumber": "longer than sixteen characters", "PatientName": "Müller^Jürgen", "StudyID": "S" * 20}
    sources = [altered_source(ds, **odd) for ds in ct_study(slices=10, voxels=np.full((10, 61, 67), -850, np.int16))]
    for index, ds in enumerate(sources):
        ds["SOPInstanceUID"]._value = f"1.2.03.{index}"  # a leading zero
    volume = case.volume(sources)
    run = made(volume, case.findings(volume))

    said = judged(run, tmp_path, validator())

    assert {name: fault for name, fault in said.items() if fault} == {}


def frame(ds: Dataset, number: int) -> Dataset:
    return ds.PerFrameFunctionalGroupsSequence[number]


def shift_one_slice(ds: Dataset) -> None:
    for groups in ds.PerFrameFunctionalGroupsSequence:
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        position[2] -= 1.25
        del groups.DerivationImageSequence  # which would give it away


def shift_half_a_pixel(ds: Dataset) -> None:
    frame(ds, 0).PlanePositionSequence[0].ImagePositionPatient[0] += 0.375


def flip_rows(ds: Dataset) -> None:
    bits = np.unpackbits(np.frombuffer(ds.PixelData, np.uint8), bitorder="little")
    count = ds.NumberOfFrames * ds.Rows * ds.Columns
    frames = bits[:count].reshape(ds.NumberOfFrames, ds.Rows, ds.Columns)[:, ::-1]
    packed = np.packbits(frames.ravel(), bitorder="little")
    ds.PixelData = packed.tobytes() + b"\0" * (len(packed) % 2)


def turn_orientation(ds: Dataset) -> None:
    for groups in (ds.SharedFunctionalGroupsSequence[0], *ds.PerFrameFunctionalGroupsSequence):
        if "PlaneOrientationSequence" in groups:
            groups.PlaneOrientationSequence[0].ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]


def lose_a_frame(ds: Dataset) -> None:
    ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[:-1]
    ds.NumberOfFrames -= 1


def set_one_voxel(ds: Dataset) -> None:
    ds.PixelData = bytes([ds.PixelData[0] | 1]) + ds.PixelData[1:]


def move_the_labels(ds: Dataset) -> None:
    ds.PixelData = ds.PixelData[1:] + b"\0"


def swap_segments(ds: Dataset) -> None:
    first, second, *others = ds.SegmentSequence
    ds.SegmentSequence = [second, first, *others]


def move_scoords(ds: Dataset) -> None:
    for item in read_content(ds).walk():
        if item.value_type == "SCOORD":
            item.ds.GraphicData = [value + 2 for value in item.ds.GraphicData]


def move_graphics(ds: Dataset) -> None:
    for annotation in ds.GraphicAnnotationSequence:
        for graphic in annotation.GraphicObjectSequence:
            graphic.GraphicData = [value + 2 for value in graphic.GraphicData]


def scoord_on_another_slice(ds: Dataset) -> None:
    run = small_run()
    away = run.volume.sources[run.findings.findings[0].long_axis.slice_index - 3]
    for item in read_content(ds).walk():
        if item.value_type == "SCOORD":
            item.ds.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = away.SOPInstanceUID


def leave_out_drawn_groups(ds: Dataset) -> None:
    """The groups that carry an SCOORD."""
    (section,) = (item for item in ds.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == codes.DCM.ImagingMeasurements.value)
    section.ContentSequence = [group for group in section.ContentSequence if '"SCOORD"' not in group.to_json()]


def leave_out(concept):
    def breaking(ds: Dataset) -> None:
        for item in [*read_content(ds).walk()]:
            if "ContentSequence" in item.ds:
                item.ds.ContentSequence = [
                    child
                    for child in item.ds.ContentSequence
                    if "ConceptNameCodeSequence" not in child or child.ConceptNameCodeSequence[0].CodeValue != concept.value
                ]

    return breaking


def without_units(ds: Dataset) -> None:
    number = next(item for item in read_content(ds).walk() if item.value_type == "NUM" and item.relationship == "CONTAINS")
    del number.ds.MeasuredValueSequence[0].MeasurementUnitsCodeSequence


def wrong_relationship(ds: Dataset) -> None:
    measurement_groups(read_content(ds))[0].of(codes.DCM.TrackingIdentifier)[0].ds.RelationshipType = "INFERRED FROM"


def dangling_segment(ds: Dataset) -> None:
    """Reference and evidence: only what isn't there is wrong."""
    there, elsewhere = small_run().first("seg").sop_instance_uid, generate_uid()
    for element in ds.iterall():
        if element.VR == "UI" and element.value == there:
            element.value = elsewhere


def shorten_evidence(ds: Dataset) -> None:
    del ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[1:]
    references = ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    del references[1:]


def heat_one_row_down(ds: Dataset) -> None:
    ds.FloatPixelData = ds.FloatPixelData[-4 * ds.Columns :] + ds.FloatPixelData[: -4 * ds.Columns]


def put(keyword: str, value: object):
    return lambda ds: setattr(ds, keyword, value)


def take_away(keyword: str):
    return lambda ds: delattr(ds, keyword)


def move_contours(ds: Dataset) -> None:
    """By a pixel to the left."""
    for roi in ds.ROIContourSequence:
        for contour in roi.ContourSequence:
            contour.ContourData = [value + (index % 3 == 0) * 0.75 for index, value in enumerate(contour.ContourData)]


def contours_on_the_next_slice(ds: Dataset) -> None:
    for roi in ds.ROIContourSequence:
        for contour in roi.ContourSequence:
            contour.ContourData = [value - (index % 3 == 2) * 1.25 for index, value in enumerate(contour.ContourData)]
            del contour.ContourImageSequence  # which would give it away


def reshape_surface(ds: Dataset, reshaped) -> None:
    triangle = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attributes", "<u2")])
    triangles = np.frombuffer(ds.EncapsulatedDocument, triangle, offset=84).copy()
    triangles["corners"] = reshaped(triangles["corners"])
    ds.EncapsulatedDocument = ds.EncapsulatedDocument[:84] + triangles.tobytes()


def move_surface(ds: Dataset) -> None:
    reshape_surface(ds, lambda corners: corners + np.float32([1.5, 0, 0]))


def shrink_surface(ds: Dataset) -> None:
    reshape_surface(ds, lambda corners: (corners - corners.mean(axis=(0, 1))) * 0.95 + corners.mean(axis=(0, 1)))


def blacken(ds: Dataset) -> None:
    ds.PixelData = bytes(len(ds.PixelData))


BROKEN = [
    ("seg", shift_one_slice, "no frame there"),
    ("seg", shift_half_a_pixel, "0.38 mm off the nearest slice"),
    ("seg", flip_rows, "differs from its mask"),
    ("seg", turn_orientation, "isn't oriented and spaced"),
    ("seg", lose_a_frame, "but no frame there"),
    ("seg", set_one_voxel, "segment 1 differs from its mask by 1 voxels"),
    ("seg", swap_segments, "segments are numbered 2, 1"),
    ("seg", lambda ds: ds.SegmentSequence.pop(), "there are 5 findings and organs"),
    ("seg", lambda ds: setattr(ds.SegmentSequence[0], "SegmentLabel", "Nodule 7"), "labelled Nodule 7, not Nodule 1"),
    ("seg", lambda ds: delattr(ds.SegmentSequence[0], "TrackingUID"), "no Tracking ID and UID"),
    ("seg", lambda ds: delattr(ds.SegmentSequence[0], "SegmentLabel"), "SegmentSequence/SegmentLabel is missing, type 1"),
    ("seg", take_away("ReferencedSeriesSequence"), "ReferencedSeriesSequence is missing"),
    ("seg", take_away("PixelData"), "PixelData is missing"),
    ("seg", put("NumberOfFrames", 3), "NumberOfFrames is 3"),
    ("seg", put("Rows", 60), "frames have 60 x 67 pixels"),
    ("labelmap", move_the_labels, "differs from the masks"),
    ("labelmap", shift_one_slice, "differs from the masks"),
    ("pmap", heat_one_row_down, "differs from the findings' heat"),
    ("pmap", shift_one_slice, "differs from the findings' heat"),
    ("sr", move_scoords, "2.0 px off the axes"),
    ("sr", scoord_on_another_slice, "in which no axis was measured"),
    ("sr", leave_out_drawn_groups, "shares its Tracking UID with none that has an SCOORD"),
    ("sr", leave_out(codes.DCM.TrackingUniqueIdentifier), "has no Tracking Unique Identifier"),
    ("sr", leave_out(codes.DCM.ProcedureReported), "Procedure reported is missing"),
    ("sr", leave_out(codes.DCM.LanguageOfContentItemAndDescendants), "Language of Content Item and Descendants is missing"),
    ("sr", leave_out(codes.DCM.ObserverType), "Observer Type is missing"),
    ("sr", leave_out(codes.DCM.ImageLibrary), "Image Library is missing"),
    ("sr", without_units, "has no units"),
    ("sr", wrong_relationship, "CONTAINER INFERRED FROM TEXT isn't allowed"),
    ("sr", dangling_segment, "neither a source image nor an object of this run"),
    ("sr", shorten_evidence, "which the evidence doesn't list"),
    ("sr", put("ValueType", "TEXT"), "not a CONTAINER"),
    ("sr", put("StudyInstanceUID", "1.2.3"), "StudyInstanceUID isn't the source's"),
    ("sr", put("PatientID", "another"), "PatientID isn't the source's"),
    ("sr", take_away("Manufacturer"), "Manufacturer is missing, type 2"),
    ("sr", take_away("ContentDate"), "ContentDate is missing, type 1"),
    ("cad_sr", move_scoords, "off"),
    ("cad_sr", leave_out(codes.DCM.SummaryOfDetections), "Summary of Detections is missing"),
    ("cad_sr", leave_out(codes.DCM.AlgorithmVersion), "a name without a version"),
    ("gsps", move_graphics, "2.0 px off"),
    ("rtstruct", move_contours, "ROI 1 differs from its mask"),
    ("rtstruct", contours_on_the_next_slice, "ROI 1 has contours in"),
    ("rtstruct", lambda ds: ds.StructureSetROISequence.pop(), "aren't the findings and organs"),
    ("rtstruct", put("FrameOfReferenceUID", "1.2.3"), "FrameOfReferenceUID isn't the source's"),
    ("stl", move_surface, "mm off that of its mask"),
    ("stl", shrink_surface, "it encloses"),
    ("stl", lambda ds: setattr(ds, "EncapsulatedDocument", ds.EncapsulatedDocument[:-50]), "has another length"),
    ("pdf", lambda ds: setattr(ds, "EncapsulatedDocument", ds.EncapsulatedDocument[:-2000]), "no whole PDF"),
    ("sc", blacken, "frame 1 shows nothing"),
    ("sc", lambda ds: setattr(ds, "PixelData", ds.PixelData[:-1000]), "bytes of pixels"),
    ("kos", lambda ds: ds.ContentSequence.clear(), "it selects no object"),
]


@pytest.mark.parametrize(("name", "breaking", "sentence"), BROKEN)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of the values that are wrong on purpose
def test_what_is_broken_is_caught_and_named(name, breaking, sentence, tmp_path: Path):
    said = judged_alone(broken(small_run().first(name), breaking), tmp_path)

    assert sentence in said


RAW = {
    "a date that no calendar has": ("StudyDate", b"20260230", "StudyDate has a value that a DA can't have"),
    "a decimal string of more than 16 characters": (
        "SliceThickness",
        b"0.123456789012345678",
        "SliceThickness has a value that a DS can't have",
    ),
    "a UID with a leading zero": ("FrameOfReferenceUID", b"1.02.34", "FrameOfReferenceUID has a value that a UI can't have"),
    "a code in small letters": ("ContentLabel", b"findings", "ContentLabel has a value that a CS can't have"),
    "a text that is too long": ("SeriesDescription", b"S" * 66, "SeriesDescription has a value that a LO can't have"),
    "two values where one is allowed": ("Modality", b"SEG\\CT", "Modality has 2 values, not 1"),
    "an odd length": ("ContentLabel", b"FINDING", "ContentLabel has an odd length"),
}


@pytest.mark.parametrize(("keyword", "value", "sentence"), RAW.values(), ids=RAW.keys())
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of the values that are wrong on purpose
def test_values_that_break_their_vr_are_caught_in_the_bytes_and_not_quoted(keyword, value, sentence, tmp_path: Path):
    said = judged_alone(broken(small_run().first("seg"), lambda ds: put_raw(ds, keyword, value)), tmp_path)

    assert sentence in said
    assert value.decode("latin-1") not in said


def test_text_that_is_not_in_the_character_set_is_caught(tmp_path: Path):
    gsps = small_run().first("gsps")
    other = gsps.content.replace(b"ISO_IR 100", b"ISO_IR 192").replace(b"Not for diagnostic use", b"N\xff\xfe for diagnostic use")

    said = judged_alone(replace(gsps, content=other), tmp_path)

    assert "ContentDescription isn't in the character set" in said


def test_a_file_whose_meta_information_names_another_object_is_held(tmp_path: Path):
    gsps = small_run().first("gsps")
    uid = gsps.sop_instance_uid.encode()
    place = gsps.content.rindex(uid, 0, 1000)  # the first is in the File Meta Information
    other = gsps.content[:place] + uid[:-1] + b"%d" % (int(uid[-1:]) ^ 1) + gsps.content[place + len(uid) :]

    said = judged_alone(replace(gsps, content=other), tmp_path)

    assert "MediaStorageSOPInstanceUID in the File Meta Information isn't the SOPInstanceUID" in said


def test_a_file_that_holds_another_object_than_was_built_is_held(tmp_path: Path):
    said = judged_alone(broken(small_run().first("gsps"), put("SOPInstanceUID", generate_uid())), tmp_path)

    assert "the file holds another object" in said


def test_what_refers_to_a_held_object_is_held_too_however_far(tmp_path: Path):
    said = judged(with_broken("seg", flip_rows), tmp_path)

    assert said["sr-1"] == "it refers to seg, held back as well"
    assert "held back as well" in said["tree-1"]
    assert said["gsps-1"] == ""


def test_a_file_that_cannot_be_read_is_a_fault_of_that_object_alone(tmp_path: Path):
    run = small_run()
    torn = [replace(one, content=one.content[: len(one.content) // 2]) if one.name == "gsps" else one for one in run.objects]

    said = judged(replace(run, objects=tuple(torn)), tmp_path)

    assert said["gsps-1"]
    assert said["seg-1"] == ""


def test_a_check_that_crashes_says_so_without_the_text_of_the_error(tmp_path: Path):
    def name_in_a_number(ds: Dataset) -> None:
        ds.SegmentSequence[0].SegmentNumber = None

    said = judged_alone(broken(small_run().first("seg"), name_in_a_number), tmp_path)

    assert "it couldn't be checked: TypeError at segments.py" in said


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of the value that is wrong on purpose
def test_dciodvfy_is_asked_and_its_quotes_are_left_out(tmp_path: Path):
    program = tool("dciodvfy", "Debian package dicom3tools")
    path = tmp_path / "wrong.dcm"
    path.write_bytes(altered(small_run().first("seg").content, lambda ds: put_raw(ds, "ContentLabel", b"findings")))

    sound = judged(small_run(), tmp_path, program)
    said = [*validated(path, dcmread(path), Dataset(), (), program)]

    assert {name: fault for name, fault in sound.items() if fault} == {}
    assert any("Content Label" in fault for fault in said)
    assert not any("findings" in fault for fault in said)


def test_the_report_of_a_refusal_passes_and_a_broken_one_is_caught(tmp_path: Path):
    source = ct_study(slices=1)[0]
    refused = UnusableSeries(Refusal.TOO_FEW_SLICES, source.SeriesInstanceUID, "1 slice, at least 50 are needed")
    series = Series(source.SeriesInstanceUID, "CT", ())
    report = build_refusal(source, [series], refused, case.run())
    written = WrittenObject("refusal", tmp_path / "refusal.dcm", str(report.SOPClassUID), str(report.SOPInstanceUID))

    written.path.write_bytes(encode(report))
    sound = report_fault(written, source)
    written.path.write_bytes(altered(written.path.read_bytes(), take_away("CompletionFlag")))
    said = report_fault(written, source)

    assert sound == ""
    assert said == "CompletionFlag is missing, type 1"
