"""The presentation state as DCMTK's renderer and a reader of its own see it."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from highdicom.color import CIELabColor
from PIL import Image
from pydicom import dcmread
from scipy import ndimage

from cad_node.output.builder import tracking_uid
from cad_node.output.colours import finding_colour
from cad_node.output.file import encode
from cad_node.output.gsps import build_gsps
from tests.factory import altered, ct_study, save_study
from tests.interop.tools import dciodvfy_errors, run, tool
from tests.output import case


def reread(ds):
    return dcmread(BytesIO(encode(ds)))


def built(volume, findings):
    (ds,) = build_gsps(volume, findings, case.run())
    return reread(ds)


def study_showing(findings):
    """Slices in which the nodules are as bright as soft tissue and the rest is lung."""
    voxels = np.full((10, 61, 67), -850, np.int16)
    for finding in findings.findings:
        voxels[case.full_mask(finding.region, voxels.shape)] = 40
    return ct_study(slices=10, voxels=voxels)


def annotations(ds, source):
    """Of one image, by layer."""
    uid = source.SOPInstanceUID
    return {
        item.GraphicLayer: item for item in ds.GraphicAnnotationSequence if item.ReferencedImageSequence[0].ReferencedSOPInstanceUID == uid
    }


def points(graphic):
    return np.reshape(graphic.GraphicData, (-1, 2))


def text_box(annotation):
    text = annotation.TextObjectSequence[0]
    return np.array([text.BoundingBoxTopLeftHandCorner, text.BoundingBoxBottomRightHandCorner])


def pixel_centres(finding, index, shape):
    """(column, row), the first pixel's centre at (0.5, 0.5)."""
    return np.argwhere(case.full_mask(finding.region, shape)[index])[:, ::-1] + 0.5


def test_circles_lie_on_the_findings_that_dcmtk_renders(tmp_path):
    findings = case.findings(case.volume())
    files = save_study(study_showing(findings), tmp_path / "ct")
    volume = case.volume([dcmread(file) for file in files])
    ds = built(volume, findings)
    state = tmp_path / "state.dcm"
    state.write_bytes(encode(ds))

    apart = []
    for file, source in zip(files, volume.sources, strict=True):
        if not annotations(ds, source):
            continue
        bitmap = tmp_path / f"{file.stem}.pgm"
        done = run(tool("dcmp2pgm", "Debian package dcmtk"), "-p", state, file, bitmap)
        assert done.returncode == 0, done.stderr
        grey = np.asarray(Image.open(bitmap))
        labels, count = ndimage.label(grey > 150)
        seen = np.array(ndimage.center_of_mass(labels > 0, labels, range(1, count + 1)))[:, ::-1] + 0.5
        drawn = [points(annotation.GraphicObjectSequence[0])[0] for annotation in annotations(ds, source).values()]
        apart += [np.linalg.norm(seen - centre, axis=1).min() for centre in drawn]

    assert len(apart) == sum(finding.region.mask.shape[0] for finding in findings.findings)
    assert max(apart) < 0.01  # pixels


def test_each_slice_that_a_finding_spans_has_its_circle_around_all_its_pixels_and_no_other_slice_has_one():
    volume = case.volume()
    findings = case.findings(volume)

    ds = built(volume, findings)

    for number, finding in enumerate(findings.findings, 1):
        for index, source in enumerate(volume.sources):
            annotation = annotations(ds, source).get(f"FINDING_{number}")
            pixels = pixel_centres(finding, index, volume.voxels.shape)
            assert (annotation is not None) == (len(pixels) > 0)
            if annotation:
                centre, edge = points(annotation.GraphicObjectSequence[0])
                assert annotation.GraphicObjectSequence[0].GraphicType == "CIRCLE"
                assert np.linalg.norm(pixels - centre, axis=1).max() + 0.5 < np.linalg.norm(edge - centre)


def test_axes_are_drawn_where_they_were_measured_as_long_as_they_are():
    volume = case.volume()
    findings = case.findings(volume)

    ds = built(volume, findings)

    for number, finding in enumerate(findings.findings, 1):
        for index, source in enumerate(volume.sources):
            annotation = annotations(ds, source).get(f"FINDING_{number}")
            lines = annotation.GraphicObjectSequence[1:] if annotation else []
            if index != finding.long_axis.slice_index:
                assert not lines
                continue
            for line, axis in zip(lines, (finding.long_axis, finding.short_axis), strict=True):
                assert points(line) == pytest.approx(np.array(axis.ends_px), abs=1e-4)
                assert np.linalg.norm(np.subtract(*points(line)) * 0.75) == pytest.approx(axis.length_mm, abs=1e-3)
                assert line.TrackingUID == tracking_uid(case.run(), number)


def test_a_label_covers_no_finding_no_circle_and_no_other_label():
    volume = case.volume()
    findings = case.findings(volume)

    ds = built(volume, findings)

    for index, source in enumerate(volume.sources):
        drawn = annotations(ds, source).values()
        covered = [text_box(annotation) for annotation in drawn]
        for annotation in drawn:
            centre, edge = points(annotation.GraphicObjectSequence[0])
            radius = np.linalg.norm(edge - centre)
            covered.append(np.array([centre - radius, centre + radius]))
        for number, label in enumerate(covered[: len(drawn)]):
            others = [box for other, box in enumerate(covered) if other != number]
            assert not any((np.maximum(label[0], box[0]) < np.minimum(label[1], box[1])).all() for box in others), index
            assert (label >= 0).all()
            assert (label[1] <= (67, 61)).all()


def test_a_line_leads_from_each_label_to_its_own_circle():
    volume = case.volume()

    ds = built(volume, case.findings(volume))

    for annotation in ds.GraphicAnnotationSequence:
        centre, edge = points(annotation.GraphicObjectSequence[0])
        text = annotation.TextObjectSequence[0]
        assert text.AnchorPointVisibility == "Y"
        assert np.linalg.norm(text.AnchorPoint - centre) == pytest.approx(np.linalg.norm(edge - centre), abs=1e-3)
        assert np.dot(text.AnchorPoint - centre, text_box(annotation).mean(axis=0) - centre) > 0


def test_a_label_goes_where_the_image_is_dark():
    findings = case.findings(case.volume(), nodules=1)
    finding = findings.findings[0]
    voxels = np.full((10, 61, 67), 40, np.int16)
    voxels[:, :, :20] = -850  # lung at the finding's left
    volume = case.volume(ct_study(slices=10, voxels=voxels))

    ds = built(volume, findings)

    label = text_box(annotations(ds, volume.sources[finding.long_axis.slice_index])["FINDING_1"])
    assert label[1, 0] < finding.long_axis.ends_px[0][0]


def test_the_label_names_the_finding_and_its_diameters():
    volume = case.volume()
    finding = replace(case.findings(volume).findings[0], label="Nodule 1")
    findings = replace(case.findings(volume), findings=(finding,))

    ds = built(volume, findings)

    texts = {text.UnformattedTextValue for item in ds.GraphicAnnotationSequence for text in item.TextObjectSequence}
    assert texts == {"Nodule 1", f"Nodule 1\r\n{finding.long_axis.length_mm:.1f} x {finding.short_axis.length_mm:.1f} mm"}


def test_where_pixels_are_not_square_the_line_around_is_round_in_millimetres():
    datasets = [altered(ds, PixelSpacing=[1.5, 0.75]) for ds in ct_study(slices=10, voxels=np.full((10, 61, 67), -850, np.int16))]
    volume = case.volume(datasets)

    ds = built(volume, case.findings(volume, nodules=1))

    line = points(ds.GraphicAnnotationSequence[2].GraphicObjectSequence[0])
    radii_mm = np.linalg.norm((line - line[:-1].mean(axis=0)) * (0.75, 1.5), axis=1)
    assert radii_mm == pytest.approx(np.full(len(line), radii_mm[0]), abs=1e-3)
    assert list(ds.DisplayedAreaSelectionSequence[0].PresentationPixelSpacing) == [1.5, 0.75]
    assert "PresentationPixelAspectRatio" not in ds.DisplayedAreaSelectionSequence[0]


@pytest.mark.parametrize("spacing_mm", [0.75, 1.5])
@pytest.mark.parametrize("corner", [(0, 0), (0, 66), (60, 0), (60, 66)])
def test_a_finding_in_the_image_s_corner_is_marked(corner, spacing_mm):
    datasets = [altered(ds, PixelSpacing=[spacing_mm, 0.75]) for ds in ct_study(slices=10, voxels=np.full((10, 61, 67), -850, np.int16))]
    volume = case.volume(datasets)
    mask = np.zeros(volume.voxels.shape, np.bool_)
    mask[(3, *corner)] = True
    findings = case.findings(volume, nodules=1)
    finding = replace(findings.findings[0], region=case.crop(mask))

    ds = built(volume, replace(findings, findings=(finding,)))

    (annotation,) = ds.GraphicAnnotationSequence
    line = points(annotation.GraphicObjectSequence[0])
    assert (line >= 0).all()
    assert (line <= (67, 61)).all()
    if spacing_mm == 0.75:
        assert line[0] == pytest.approx(np.add(corner[::-1], 0.5))


def test_every_image_is_seen_in_the_lung_window():
    volume = case.volume(
        [altered(ds, WindowCenter=40, WindowWidth=400) for ds in ct_study(slices=10, voxels=np.zeros((10, 61, 67), np.int16))]
    )

    ds = built(volume, case.findings(volume))

    (window,) = ds.SoftcopyVOILUTSequence
    assert "ReferencedImageSequence" not in window
    assert (window.WindowCenter, window.WindowWidth) == (-600, 1600)
    assert (ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType) == (1, -1024, "HU")
    assert ds.PresentationLUTShape == "IDENTITY"
    shown = [item.ReferencedSOPInstanceUID for item in ds.ReferencedSeriesSequence[0].ReferencedImageSequence]
    assert shown == [source.SOPInstanceUID for source in volume.sources]


def test_slices_of_another_rescaling_have_a_state_of_their_own():
    datasets = ct_study(slices=10, voxels=np.full((10, 61, 67), -850, np.int16))
    volume = case.volume([altered(ds, RescaleIntercept=-1000) if index > 4 else ds for index, ds in enumerate(datasets)])

    states = [reread(ds) for ds in build_gsps(volume, case.findings(volume), case.run())]

    assert [(ds.InstanceNumber, ds.RescaleIntercept) for ds in states] == [(1, -1024), (2, -1000)]
    assert len({ds.SOPInstanceUID for ds in states}) == 2
    assert len({ds.SeriesInstanceUID for ds in states}) == 1
    for ds, sources in zip(states, (volume.sources[:5], volume.sources[5:]), strict=True):
        own = {source.SOPInstanceUID for source in sources}
        assert {item.ReferencedSOPInstanceUID for item in ds.ReferencedSeriesSequence[0].ReferencedImageSequence} == own
        assert {item.ReferencedImageSequence[0].ReferencedSOPInstanceUID for item in ds.GraphicAnnotationSequence} <= own
        assert str(ds.PatientName) == "Test^Case"


def test_each_finding_has_a_layer_in_its_colour():
    volume = case.volume()

    ds = built(volume, case.findings(volume))

    layers = [(layer.GraphicLayer, layer.GraphicLayerDescription) for layer in ds.GraphicLayerSequence]
    assert layers == [("FINDING_1", "Nodule 1"), ("FINDING_2", "Nodule 2"), ("FINDING_3", "Nodule 3")]
    for number, layer in enumerate(ds.GraphicLayerSequence, 1):
        assert list(layer.GraphicLayerRecommendedDisplayCIELabValue) == list(CIELabColor.from_rgb(*finding_colour(number)).value)


def test_without_findings_there_is_none():
    volume = case.volume()

    assert build_gsps(volume, case.findings(volume, nodules=0), case.run()) == []


@pytest.mark.parametrize("body_part", ["CHEST", "LUNG", None])
def test_dcmpschk_and_dciodvfy_find_no_error(body_part, tmp_path):
    datasets = [altered(ds, BodyPartExamined=body_part) for ds in ct_study(slices=10, voxels=np.full((10, 61, 67), -850, np.int16))]
    volume = case.volume(datasets)
    file = tmp_path / "state.dcm"
    file.write_bytes(encode(built(volume, case.findings(volume))))

    checked = run(tool("dcmpschk", "Debian package dcmtk"), file)

    assert "Test passed" in checked.stdout + checked.stderr
    assert dciodvfy_errors(file) == []


def test_a_state_of_many_slices_is_small():
    volume = case.volume(ct_study(slices=300, voxels=np.full((300, 61, 67), -850, np.int16)))

    content = encode(built(volume, case.findings(volume)))

    assert len(content) < 80_000
