"""What an object takes over from the source, what it says of its maker, and that the same run gives the same bytes."""

from dataclasses import replace
from datetime import timedelta, timezone
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from cad_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from cad_node.output.cad_sr import build_cad_sr
from cad_node.output.file import encode
from cad_node.output.gsps import build_gsps
from cad_node.output.kos import build_kos
from cad_node.output.labelmap import build_labelmap
from cad_node.output.pdf import build_pdf
from cad_node.output.pmap import build_pmap
from cad_node.output.rejection import build_rejection
from cad_node.output.rtstruct import build_rtstruct
from cad_node.output.sc import build_sc
from cad_node.output.seg import build_seg
from cad_node.output.sr import build_sr
from cad_node.output.stl import build_stl
from cad_node.output.tree import build_tree
from tests.factory import altered, ct_study
from tests.output import case


def build_a_rejection(volume, findings, run):
    return build_rejection(volume, findings, replace(run, supersedes=case.EARLIER))


def build_a_root(volume, findings, run):
    return build_tree(volume, findings, run, [("seg", *build_seg(volume, findings, run))], "seg+tree")


def build_a_surface(volume, findings, run):
    return build_stl(volume, findings, run)[:1]


SERIES = {  # number and what begins the description
    build_seg: (9101, "Segmentation"),
    build_labelmap: (9104, "Label map"),
    build_sr: (9102, "Report"),
    build_cad_sr: (9106, "CAD report"),
    build_gsps: (9107, "Marks"),
    build_sc: (9108, "Key images"),
    build_pmap: (9109, "Heat map"),
    build_rtstruct: (9112, "Contours"),
    build_pdf: (9113, "PDF report"),
    build_a_surface: (9114, "Surfaces"),
    build_a_root: (9105, "Results"),
    build_kos: (9110, "Of interest"),
    build_a_rejection: (9111, "Rejected for quality reasons"),
}
BUILDERS = tuple(SERIES)
WITHOUT_GEOMETRY = (build_sc, build_rtstruct, build_pdf, build_a_surface, build_a_root, build_kos, build_a_rejection)
REFERS_TO_OTHERS = (build_sc, build_kos, build_a_rejection)  # than the whole source


def source_study(**values):
    """Slices as they come from a file: text still in the source's own bytes."""
    datasets = [altered(ds, **values) for ds in ct_study(slices=10, voxels=np.full((10, 61, 67), -850, np.int16))]
    return [through_file(ds) for ds in datasets]


def through_file(ds):
    return dcmread(BytesIO(written(ds)))


def written(ds):
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def content_made_at(ds):
    if "StructureSetDate" in ds:  # its IOD has no Content Date
        return ds.StructureSetDate, ds.StructureSetTime
    return ds.ContentDate, ds.ContentTime


def put_raw(ds, keyword, value):
    """Put bytes into `ds` as reading a file would, without a check."""
    tag = Tag(keyword)
    ds._dict[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)


def built_from(build, datasets, run=None):
    volume = case.volume(datasets)
    return dcmread(BytesIO(encode(*build(volume, case.findings(volume), run or case.run()))))


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize(
    ("charset", "name"),
    [
        (None, "Doe^Jane"),
        ("ISO_IR 100", "Müller^Jürgen"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 192", "Łukasz^Żółć"),
    ],
)
def test_patient_names_survive_in_their_character_set(build, charset, name):
    values = {"PatientName": name, "SpecificCharacterSet": charset} if charset else {"PatientName": name, "SpecificCharacterSet": None}
    study = source_study(**values)

    ds = built_from(build, study)

    assert str(ds.PatientName) == name
    assert ds.get("SpecificCharacterSet") == study[0].get("SpecificCharacterSet")


@pytest.mark.parametrize("build", BUILDERS)
def test_a_character_set_that_cannot_hold_our_own_words_gives_way_to_utf_8(build):
    study = source_study(PatientName="Müller^Jürgen", SpecificCharacterSet="ISO_IR 100")

    ds = built_from(build, study, case.run(title="肺结节"))

    assert (str(ds.PatientName), ds.SpecificCharacterSet) == ("Müller^Jürgen", "ISO_IR 192")
    assert ds.ManufacturerModelName == "肺结节"


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of the misspelt term
def test_a_misspelt_character_set_is_read_and_replaced_by_utf_8(build):
    study = source_study(PatientName="Müller^Jürgen", SpecificCharacterSet="ISO_IR 100")
    content = [written(ds).replace(b"ISO_IR 100", b"ISO-IR 100") for ds in study]

    ds = built_from(build, [dcmread(BytesIO(each)) for each in content])

    assert (str(ds.PatientName), ds.SpecificCharacterSet) == ("Müller^Jürgen", "ISO_IR 192")


@pytest.mark.parametrize("build", BUILDERS)
def test_a_patient_id_with_a_backslash_survives(build):
    study = source_study(PatientID="12\\34")

    ds = built_from(build, study)

    assert list(ds.PatientID) == ["12", "34"]


@pytest.mark.parametrize("build", BUILDERS)
def test_patient_and_study_are_the_source_s(build):
    study = source_study(PatientComments="as told", PatientAge="065Y", StudyDescription="Thorax")

    ds = built_from(build, study)

    for keyword in ("PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientComments", "StudyInstanceUID", "StudyDate"):
        assert ds[keyword].value == study[0][keyword].value
    assert (ds.AccessionNumber, ds.StudyID, ds.StudyDescription) == ("A1", "1", "Thorax")


@pytest.mark.parametrize("build", BUILDERS)
def test_what_is_written_to_one_object_is_not_in_the_next_of_the_run(build):
    volume = case.volume(source_study())
    findings, run = case.findings(volume), case.run()
    first, *_ = build(volume, findings, run)

    first.PatientID = first.PatientName = first.StudyInstanceUID = "4711"
    second, *_ = build(volume, findings, run)

    assert "4711" not in (second.PatientID, second.PatientName, second.StudyInstanceUID)
    assert second.PatientID == volume.sources[0].PatientID


@pytest.mark.parametrize("build", BUILDERS)
def test_missing_attributes_of_type_2_become_empty(build):
    missing = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime")
    study = source_study(**dict.fromkeys(missing), ReferringPhysicianName=None, SliceThickness=None, PositionReferenceIndicator=None)

    ds = built_from(build, study)

    for keyword in missing:
        assert keyword in ds
        assert not ds[keyword].value


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of the values that are wrong on purpose
def test_values_that_break_their_vr_are_left_out_and_stop_nothing(build):
    study = source_study()
    for source in study:
        for keyword, junk in (
            ("PatientBirthDate", b"sometime"),
            ("PatientSex", b"X "),
            ("StudyTime", b"25:99"),
            ("PatientWeight", b"heavy "),
        ):
            put_raw(source, keyword, junk)

    ds = built_from(build, study)

    assert not any((ds.PatientBirthDate, ds.PatientSex, ds.StudyTime, ds.get("PatientWeight")))
    assert ds.PatientID == "TEST-1"


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of the values that are too long on purpose
def test_numbers_with_more_digits_than_ds_holds_stop_nothing(build):
    study = source_study()
    for index, source in enumerate(study):
        put_raw(source, "PixelSpacing", b"0.78125000000000001\\0.78125000000000001 ")
        put_raw(source, "ImagePositionPatient", b"-17.123456789012345\\-17.123456789012345\\%d.000000000000001" % index)
        put_raw(source, "SOPInstanceUID", b"1.2.03.%d" % index)

    ds = built_from(build, study)

    said = ds.to_json()
    assert ("0.78125" in said) == (build not in WITHOUT_GEOMETRY)
    assert ("1.2.03.4" in said) == (build not in REFERS_TO_OTHERS)


@pytest.mark.parametrize("build", BUILDERS)
def test_the_same_run_gives_the_same_bytes(build):
    volume = case.volume()
    findings = case.findings(volume)

    first, second = (encode(*build(volume, findings, case.run())) for _ in range(2))

    assert first == second


@pytest.mark.parametrize("build", BUILDERS)
def test_another_job_gives_other_uids(build):
    volume = case.volume()
    findings = case.findings(volume)
    other = replace(case.run(), job_uid=case.run().job_uid.__class__(int=8))

    (first,), (second,) = build(volume, findings, case.run()), build(volume, findings, other)

    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID


@pytest.mark.parametrize("build", BUILDERS)
def test_times_are_the_run_s_in_the_source_s_offset(build):
    study = source_study(TimezoneOffsetFromUTC="+0900")

    ds = built_from(build, study)

    assert ds.TimezoneOffsetFromUTC == "+0900"
    assert content_made_at(ds) == ("20260102", "201213.140000")
    assert (ds.InstanceCreationDate, ds.InstanceCreationTime) == ("20260102", "201213.140000")


@pytest.mark.parametrize("build", BUILDERS)
def test_without_an_offset_in_the_source_the_clock_s_is_written(build):
    run = replace(case.run(), started_at=case.run().started_at.astimezone(timezone(-timedelta(hours=3, minutes=30))))

    ds = built_from(build, source_study(), run)

    assert ds.TimezoneOffsetFromUTC == "-0330"
    assert content_made_at(ds) == ("20260102", "074213.140000")


@pytest.mark.parametrize("build", BUILDERS)
def test_contributing_equipment_names_the_algorithm(build):
    ds = built_from(build, source_study())

    (item,) = (item for item in ds.ContributingEquipmentSequence if item.PurposeOfReferenceCodeSequence[0].CodeValue == "109102")
    assert (item.Manufacturer, item.ManufacturerModelName, item.DeviceUID) == ("cad_node", "Lung nodules on chest CT", "2.25.99")
    assert list(item.SoftwareVersions) == ["1.0.0", "lung_segmentation_ct 1.2.3", "cad_node 0.1.0"]
    assert "Not for diagnostic use without review" in item.ContributionDescription


@pytest.mark.parametrize("build", BUILDERS)
def test_series_are_told_apart_by_number_and_description(build):
    number, kind = SERIES[build]

    ds = built_from(build, source_study())

    assert (ds.SeriesNumber, ds.SeriesDescription) == (number, f"{kind}: Lung nodules on chest CT 1.0.0")


def test_a_long_title_fits_its_attributes():
    ds = built_from(build_seg, source_study(), case.run(title="T" * 200))

    assert (len(ds.SeriesDescription), len(ds.ManufacturerModelName)) == (64, 64)
    assert ds.SeriesDescription.startswith("Segmentation: ")
    assert ds.SeriesDescription.endswith(" 1.0.0")


def test_a_file_names_this_implementation():
    meta = built_from(build_seg, source_study()).file_meta

    assert (meta.ImplementationClassUID, meta.ImplementationVersionName) == (IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME)
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16
