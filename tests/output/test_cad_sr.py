"""CAD reports, row by row of their templates, re-read by code that doesn't know highdicom."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ChestCADSRStorage, DigitalMammographyXRayImageStorageForPresentation, MammographyCADSRStorage
from skimage.measure import points_in_poly

from cad_node.manifest import Concept
from cad_node.output.builder import EarlierObject, tracking_uid
from cad_node.output.cad_sr import build_cad_sr
from cad_node.output.file import encode
from tests.factory import altered, ct_study
from tests.interop.tools import dciodvfy_errors, run, tool
from tests.output import case

DENSITY = codes.cid6014.MammographyBreastDensity


def built(volume, findings, with_run=None):
    (ds,) = build_cad_sr(volume, findings, with_run or case.run())
    return dcmread(BytesIO(encode(ds)))


@pytest.fixture(scope="module")
def volume():
    return case.volume()


@pytest.fixture(scope="module")
def chest(volume):
    return built(volume, case.measured_findings(volume))


def mammograms():
    """A left breast in two views, as a volume of two images."""
    views = (Code("399162004", "SCT", "cranio-caudal"), Code("399368009", "SCT", "medio-lateral oblique"))
    datasets = ct_study(slices=2, voxels=np.full((2, 61, 67), -850, np.int16))
    for ds, view in zip(datasets, views, strict=True):
        ds.Modality, ds.SOPClassUID, ds.BodyPartExamined = "MG", DigitalMammographyXRayImageStorageForPresentation, "BREAST"
        ds.ImageLaterality, ds.PatientOrientation, ds.ImagerPixelSpacing = "L", ["A", "R"], [0.1, 0.1]
        item, modifier = code_item(view), code_item(Code("399163009", "SCT", "Magnification"))
        item.ViewModifierCodeSequence = [modifier] if view is views[0] else []
        ds.ViewCodeSequence = [item]
    return case.volume([altered(ds, PixelSpacing=[0.1, 0.1]) for ds in datasets])


def code_item(code):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def mammography_run():
    of_breast = {"finding": concept(DENSITY), "site": concept(Code("76752008", "SCT", "Breast"))}
    given = case.run()
    return replace(given, manifest=given.manifest.model_copy(update={"output": given.manifest.output.model_copy(update=of_breast)}))


def concept(code):
    return Concept(value=code.value, scheme=code.scheme_designator, meaning=code.meaning)


def mammography_findings(views):
    """Two densities, one on each view."""
    found = case.findings(case.volume())
    return replace(
        found,
        findings=tuple(moved(finding, index) for index, finding in enumerate(found.findings[:2])),
        organs=(),
    )


def moved(finding, index):
    """The finding's slice of the long axis, alone, on image `index`."""
    plane = finding.region.mask[finding.long_axis.slice_index - finding.region.origin[0]][np.newaxis]
    region = replace(finding.region, origin=(index, *finding.region.origin[1:]), mask=plane)
    axes = {name: replace(getattr(finding, name), slice_index=index) for name in ("long_axis", "short_axis")}
    return replace(finding, code=DENSITY, site=None, region=region, **axes)


@pytest.fixture(scope="module")
def breast():
    views = mammograms()
    return views, built(views, mammography_findings(views), mammography_run())


def rows(item):
    """(relationship, concept) of the children; of a reference or an image its relationship alone."""
    return [(child.RelationshipType, name(child)) for child in item.ContentSequence]


def name(item):
    return item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""


def children(item, meaning):
    return [child for child in item.ContentSequence if name(child) == meaning]


def child(item, *meanings):
    for meaning in meanings:
        (item,) = children(item, meaning)
    return item


def resolve(root, reference):
    """The item that a by-reference relationship leads to."""
    item = root
    for position in reference.ReferencedContentItemIdentifier[1:]:
        item = item.ContentSequence[position - 1]
    return item


def value(item):
    return item.MeasuredValueSequence[0].NumericValue


def single_image_findings(chest):
    return children(child(chest, "CAD Processing and Findings Summary"), "Single Image Finding")


def test_the_root_follows_tid_4100(chest):
    assert chest.SOPClassUID == ChestCADSRStorage
    assert chest.ContentTemplateSequence[0].TemplateIdentifier == "4100"
    assert rows(chest) == [
        ("HAS CONCEPT MOD", "Language of Content Item and Descendants"),
        ("CONTAINS", "Image Library"),
        ("CONTAINS", "CAD Processing and Findings Summary"),
        ("CONTAINS", "Summary of Detections"),
        ("CONTAINS", "Summary of Analyses"),
    ]


def test_a_finding_follows_tid_4104(volume, chest):
    first = single_image_findings(chest)[0]

    assert first.RelationshipType == "INFERRED FROM"
    assert first.ConceptCodeSequence[0].CodeValue == "112033"  # Abnormal opacity, CID 6101
    assert rows(first) == [
        ("HAS CONCEPT MOD", "Single Image Finding Modifier"),
        ("HAS CONCEPT MOD", "Rendering Intent"),
        ("HAS OBS CONTEXT", "Tracking Identifier"),
        ("HAS OBS CONTEXT", "Tracking Unique Identifier"),
        ("HAS OBS CONTEXT", "Algorithm Name"),
        ("HAS OBS CONTEXT", "Algorithm Version"),
        ("HAS OBS CONTEXT", "Algorithm Manufacturer"),
        ("HAS PROPERTIES", "Certainty of Finding"),
        ("HAS PROPERTIES", "Center"),
        ("HAS PROPERTIES", "Outline"),
        ("HAS PROPERTIES", "Long Axis"),
        ("HAS PROPERTIES", "Short Axis"),
        ("HAS PROPERTIES", "Diameter"),
        ("HAS PROPERTIES", "Volume"),
        ("HAS PROPERTIES", "Volume from Voxel Summation"),
        ("HAS PROPERTIES", "Location in Chest"),
        ("HAS PROPERTIES", "Laterality"),
        ("HAS PROPERTIES", "Mean Attenuation Coefficient"),
    ]
    assert child(first, "Single Image Finding Modifier").ConceptCodeSequence[0].CodeMeaning == "Nodule"
    assert child(first, "Rendering Intent").ConceptCodeSequence[0].CodeValue == "111150"


def test_a_finding_s_numbers_are_those_that_were_measured(volume, chest):
    findings = case.measured_findings(volume).findings

    found = single_image_findings(chest)

    for number, (item, finding) in enumerate(zip(found, findings, strict=True), 1):
        assert tracking_uid(case.run(), number) == child(item, "Tracking Unique Identifier").UID
        assert value(child(item, "Certainty of Finding")) == pytest.approx(100 * finding.score)
        assert value(child(item, "Long Axis")) == pytest.approx(finding.long_axis.length_mm, abs=0.005)
        assert value(child(item, "Short Axis")) == pytest.approx(finding.short_axis.length_mm, abs=0.005)
        assert value(child(item, "Volume")) == pytest.approx(finding.volume_mm3, abs=0.05)
        assert value(child(item, "Mean Attenuation Coefficient")) == pytest.approx(finding.mean_hu, abs=0.05)


def test_coordinates_lead_to_the_image_that_shows_the_finding_and_lie_on_it_there(volume, chest):
    for item, finding in zip(single_image_findings(chest), case.findings(volume).findings, strict=True):
        index = finding.long_axis.slice_index
        mask = case.full_mask(finding.region, volume.voxels.shape)[index]
        drawn = [child(item, "Center"), child(item, "Outline"), child(item, "Long Axis", "Path"), child(item, "Short Axis", "Path")]

        images = {resolve(chest, one.ContentSequence[0]).ReferencedSOPSequence[0].ReferencedSOPInstanceUID for one in drawn}

        centre, outline = (np.reshape(one.GraphicData, (-1, 2)) for one in drawn[:2])
        assert images == {volume.sources[index].SOPInstanceUID}
        assert centre[0] == pytest.approx(np.argwhere(mask).mean(axis=0)[::-1] + 0.5, abs=1e-4)
        pixels = np.argwhere(np.ones_like(mask))[:, ::-1] + 0.5
        assert points_in_poly(pixels, outline).reshape(mask.shape).tolist() == mask.tolist()
        assert (outline[0] == outline[-1]).all()
        for one, axis in zip(drawn[2:], (finding.long_axis, finding.short_axis), strict=True):
            assert one.GraphicType == "POLYLINE"
            assert np.reshape(one.GraphicData, (2, 2)) == pytest.approx(np.array(axis.ends_px), abs=1e-4)


def test_the_image_library_says_when_the_images_were_made_and_how_large_their_pixels_are(volume, chest):
    entries = child(chest, "Image Library").ContentSequence

    assert len(entries) == 3
    assert [name(item) for item in entries[0].ContentSequence] == [
        "Study Date",
        "Study Time",
        "Content Date",
        "Content Time",
        "Horizontal Pixel Spacing",
        "Vertical Pixel Spacing",
    ]
    assert {item.RelationshipType for item in entries[0].ContentSequence} == {"HAS ACQ CONTEXT"}
    assert value(child(entries[0], "Horizontal Pixel Spacing")) == 0.75


def test_what_was_searched_for_and_where_is_told(volume, chest):
    detections = child(chest, "Summary of Detections")

    performed = child(detections, "Successful Detections", "Detection Performed")

    assert detections.ConceptCodeSequence[0].CodeMeaning == "Succeeded"
    assert performed.ConceptCodeSequence[0].CodeMeaning == "Nodule"
    assert child(performed, "Algorithm Name").TextValue == "Lung nodules on chest CT"
    assert child(performed, "Algorithm Version").TextValue == "1.0.0"
    assert volume.series_instance_uid == child(performed, "Series Instance UID").UID
    assert child(chest, "Summary of Analyses").ConceptCodeSequence[0].CodeMeaning == "Not Attempted"


def test_a_report_without_findings_says_so(volume):
    ds = built(volume, case.findings(volume, nodules=0))

    assert child(ds, "CAD Processing and Findings Summary").ConceptCodeSequence[0].CodeValue == "111241"
    assert "ContentSequence" not in child(ds, "CAD Processing and Findings Summary")
    assert child(ds, "Summary of Detections", "Successful Detections", "Detection Performed", "Series Instance UID").UID
    assert not children(ds, "Image Library")


def test_a_score_that_means_something_else_is_left_out(volume):
    given = case.run()
    other = Concept(value="SUSPICION", scheme="99CADNODE", meaning="Suspicion")
    output = given.manifest.output.model_copy(update={"meaning": other})

    ds = built(volume, case.findings(volume), replace(given, manifest=given.manifest.model_copy(update={"output": output})))

    assert not any(children(item, "Certainty of Finding") for item in single_image_findings(ds))


def test_of_a_site_outside_the_chest_there_is_no_report(volume):
    given = case.run()
    output = given.manifest.output.model_copy(update={"site": concept(codes.SCT.Liver)})

    made = build_cad_sr(volume, case.findings(volume), replace(given, manifest=given.manifest.model_copy(update={"output": output})))

    assert made == []


def test_the_report_names_the_one_that_it_takes_the_place_of(volume):
    earlier = EarlierObject("cad_sr", ChestCADSRStorage, "1.2.3.4", "1.2.3")

    ds = built(volume, case.findings(volume), replace(case.run(), supersedes=(earlier,)))

    (study,) = ds.PredecessorDocumentsSequence
    assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"


def test_mammograms_get_a_report_that_follows_tid_4000(breast):
    _, ds = breast

    summary = child(ds, "CAD Processing and Findings Summary")

    assert ds.SOPClassUID == MammographyCADSRStorage
    assert ds.ContentTemplateSequence[0].TemplateIdentifier == "4000"
    assert rows(summary) == [("INFERRED FROM", "Individual Impression/Recommendation")] * 2
    impression = summary.ContentSequence[0]
    assert rows(impression) == [("HAS CONCEPT MOD", "Rendering Intent"), ("CONTAINS", "Single Image Finding")]
    found = child(impression, "Single Image Finding")
    assert found.ConceptCodeSequence[0].CodeValue == DENSITY.value
    assert rows(found) == [
        ("HAS CONCEPT MOD", "Rendering Intent"),
        ("HAS OBS CONTEXT", "Tracking Identifier"),
        ("HAS OBS CONTEXT", "Tracking Unique Identifier"),
        ("HAS PROPERTIES", "Algorithm Name"),
        ("HAS PROPERTIES", "Algorithm Version"),
        ("HAS PROPERTIES", "Algorithm Manufacturer"),
        ("HAS PROPERTIES", "Certainty of Finding"),
        ("HAS PROPERTIES", "Center"),
        ("HAS PROPERTIES", "Outline"),
        ("HAS PROPERTIES", "Long Axis"),
        ("HAS PROPERTIES", "Short Axis"),
    ]


def test_each_finding_in_a_breast_is_on_its_own_view(breast):
    views, ds = breast

    impressions = child(ds, "CAD Processing and Findings Summary").ContentSequence

    for impression, source in zip(impressions, views.sources, strict=True):
        image = resolve(ds, child(impression, "Single Image Finding", "Center").ContentSequence[0])
        assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID


def test_the_views_of_mammograms_are_told(breast):
    _, ds = breast

    cranio_caudal, oblique = child(ds, "Image Library").ContentSequence

    assert child(cranio_caudal, "Image Laterality").ConceptCodeSequence[0].CodeMeaning == "Left breast"
    assert child(cranio_caudal, "Image View").ConceptCodeSequence[0].CodeMeaning == "cranio-caudal"
    assert child(cranio_caudal, "Image View", "Image View Modifier").ConceptCodeSequence[0].CodeMeaning == "Magnification"
    assert child(oblique, "Image View").ConceptCodeSequence[0].CodeMeaning == "medio-lateral oblique"
    assert child(oblique, "Patient Orientation Row").TextValue == "A"
    performed = child(ds, "Summary of Detections", "Successful Detections", "Detection Performed")
    searched = [resolve(ds, item) for item in performed.ContentSequence if "ReferencedContentItemIdentifier" in item]
    assert searched == [cranio_caudal, oblique]


@pytest.fixture(scope="module", params=["chest", "no findings", "breast"])
def file(request, volume, chest, breast, tmp_path_factory):
    made = {"chest": lambda: chest, "no findings": lambda: built(volume, case.findings(volume, nodules=0)), "breast": lambda: breast[1]}
    path = tmp_path_factory.mktemp("cad") / "report.dcm"
    path.write_bytes(encode(made[request.param]()))
    return path


def test_dcmtk_accepts_every_relationship(file, tmp_path):
    for program, arguments in (("dsrdump", [file]), ("dsr2html", [file, tmp_path / "report.html"])):
        done = run(tool(program, "Debian package dcmtk"), *arguments)
        assert (done.returncode, done.stderr.replace("W: Check for template constraints not yet supported\n", "")) == (0, "")


def test_dciodvfy_finds_no_error(file):
    assert dciodvfy_errors(file) == []


def test_dcmtk_would_refuse_a_wrong_relationship(chest, tmp_path):
    wrong = dcmread(BytesIO(encode(chest)))
    child(single_image_findings(wrong)[0], "Center").RelationshipType = "CONTAINS"
    path = tmp_path / "wrong.dcm"
    path.write_bytes(encode(wrong))

    assert run(tool("dsrdump", "Debian package dcmtk"), path).returncode != 0
