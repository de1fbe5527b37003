"""The Secondary Capture: what is burned in, read back from its pixels, and that it is valid and shown by other programs."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.sr.coding import Code

from cad_node.findings import Caution, Findings, Remark
from cad_node.output.colours import finding_colour
from cad_node.output.file import encode
from cad_node.output.pictures import fonts
from cad_node.output.pictures.drawing import AMBER, shorten, width_px, wrap
from cad_node.output.pictures.key_images import Scene, heat_picture, letters, slice_picture
from cad_node.output.pictures.page import FOOT_PX, MOST_SHOWN, PAGE_PX, TEXT_PX
from cad_node.output.pictures.views import close_up, outline, overview
from cad_node.output.pictures.windowing import Window, window_for
from cad_node.output.sc import build_sc
from cad_node.output.wording import percent
from tests.factory import altered, ct_study
from tests.interop.tools import dciodvfy_errors, run, tool
from tests.output import awkward, case

LUNG = Code("39607008", "SCT", "Lung")


def reread(volume, findings):
    return dcmread(BytesIO(encode(*build_sc(volume, findings, case.run()))))


def scene(volume, findings=None):
    return Scene(volume, findings or case.findings(volume), Window(-600, 1600, "HU"))


def pixels_of(picture, colour):
    """(column, row) of the pixels that have a colour to within what smoothing leaves."""
    rows, columns = np.nonzero((np.abs(np.asarray(picture, int) - colour) <= 6).all(axis=-1))
    return np.column_stack((columns, rows)) + 0.5


def many(volume, count):
    (one, *_) = case.measured_findings(volume).findings
    return replace(case.measured_findings(volume), findings=tuple(replace(one, label=f"Nodule {n}") for n in range(1, count + 1)))


def test_a_summary_comes_first_then_a_page_for_each_finding():
    volume = case.volume()

    ds = reread(volume, case.findings(volume))

    assert ds.pixel_array.shape == (4, PAGE_PX, PAGE_PX, 3)
    assert (ds.PhotometricInterpretation, ds.ConversionType, ds.BurnedInAnnotation) == ("RGB", "WSD", "YES")
    assert list(ds.PageNumberVector) == [1, 2, 3, 4]
    assert len({frame.tobytes() for frame in ds.pixel_array}) == 4


def test_each_page_bears_its_findings_colour_and_the_summary_all_of_them():
    volume = case.volume()

    frames = reread(volume, case.findings(volume)).pixel_array

    for number in (1, 2, 3):
        assert len(pixels_of(frames[0], finding_colour(number))) > 100
        assert len(pixels_of(frames[number], finding_colour(number))) > 100


def test_text_is_no_smaller_than_thirteen_pixels_where_a_page_is_shown_512_high():
    assert TEXT_PX * 512 / PAGE_PX >= 13


def test_without_a_finding_one_page_says_so():
    volume = case.volume()

    ds = reread(volume, case.findings(volume, nodules=0))

    assert ds.NumberOfFrames == 1
    assert "FrameIncrementPointer" not in ds  # of a single frame, PS3.3 C.8.6.3
    assert len(pixels_of(ds.pixel_array, (240, 240, 240))) > 300


def test_volume_without_organs_or_findings_gives_a_page_too():
    volume = case.volume()

    ds = reread(volume, Findings((), ()))

    assert ds.NumberOfFrames == 1


def test_no_more_than_the_first_fifteen_have_a_page_of_their_own():
    volume = case.volume()

    ds = reread(volume, many(volume, 40))

    assert ds.NumberOfFrames == 1 + MOST_SHOWN
    foot = ds.pixel_array[0, PAGE_PX - FOOT_PX + 2, : PAGE_PX // 2]
    assert np.ptp(foot, axis=0).max() == 0  # the table ends above it


def test_remarks_are_on_the_summary_also_where_the_table_is_long():
    volume = case.volume()
    remarks = tuple(
        Remark(code, "a sentence that goes on about it, and takes more than one line of the page, as some do") for code in Caution
    )
    findings = replace(many(volume, 15), remarks=remarks)

    page = reread(volume, findings).pixel_array[0]

    rows = pixels_of(page, AMBER)[:, 1]
    assert len(rows[rows < PAGE_PX - 40]) > 100  # above the foot, which is amber too


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (awkward.Way(), ["L", "P"]),
        (awkward.Way(awkward.PRONE), ["R", "A"]),
        (awkward.Way(awkward.FEET_FIRST), ["R", "P"]),
        (awkward.Way(awkward.ON_THE_SIDE), ["P", "R"]),
    ],
)
def test_patient_orientation_is_the_slices(way, expected):
    volume = case.volume(awkward.study(way))

    ds = reread(volume, awkward.findings(volume))

    assert list(ds.PatientOrientation) == expected


@pytest.mark.parametrize(
    ("direction", "expected"), [((1, 0, 0), "L"), ((0, -1, 0), "A"), ((0, 0, 2), "H"), ((-0.8, 0.6, 0), "RP"), ((0.1, 0, -1), "F")]
)
def test_letters_name_the_nearest_axis_first(direction, expected):
    assert letters(np.array(direction, float)) == expected


@pytest.mark.parametrize("way", [awkward.Way(), awkward.Way(awkward.PRONE), awkward.Way(pixel_spacing_mm=(1.6, 0.8))])
def test_the_ring_is_around_where_the_body_is_bright(way):
    volume = case.volume(awkward.study(way))
    findings = awkward.findings(volume)
    finding = findings.findings[0]

    picture = slice_picture(scene(volume, findings), 1, 500, 20)

    view = overview(volume, findings, 500)
    rows, columns = np.nonzero(volume.voxels[finding.long_axis.slice_index] > -300)
    body = np.mean([view.at(column + 0.5, row + 0.5) for column, row in zip(columns, rows, strict=True)], axis=0)
    marked = pixels_of(picture, finding_colour(1))
    centre = (marked.min(axis=0) + marked.max(axis=0)) / 2
    assert np.linalg.norm(centre - body) < 0.12 * 500  # the chip sticks out on one side


def test_an_outline_goes_along_the_edges_of_the_masks_pixels():
    volume = case.volume()
    finding = case.findings(volume).findings[0]
    view = close_up(volume, finding, 400)

    lines = outline(finding.region, finding.long_axis.slice_index, view)

    mask = case.full_mask(finding.region, volume.voxels.shape)[finding.long_axis.slice_index]
    edges = int((np.diff(np.pad(mask, 1).astype(int), axis=0) != 0).sum() + (np.diff(np.pad(mask, 1).astype(int), axis=1) != 0).sum())
    length_px = sum(np.linalg.norm(np.subtract(*line)) for line in lines)
    assert length_px == pytest.approx(edges * volume.spacing_mm[1] * view.px_per_mm)
    corners = {view.at(column, row) for row, column in np.argwhere(mask)}
    assert {point for line in lines for point in line} & corners


def test_millimetres_are_as_long_across_as_down_where_pixels_are_not_square():
    volume = case.volume(awkward.study(awkward.Way(pixel_spacing_mm=(1.6, 0.8))))
    view = close_up(volume, awkward.findings(volume).findings[0], 300)

    (x, y), (right, below) = view.at(20, 20), view.at(30, 30)

    assert (below - y) == pytest.approx(2 * (right - x))


def test_heat_colours_only_where_there_is_heat():
    volume = case.volume()
    finding = case.findings(volume).findings[0]
    cold = replace(finding.heat, values=-np.abs(finding.heat.values))

    warm, none = (np.asarray(heat_picture(scene(volume), 1, heat, 300, 20)) for heat in (finding.heat, cold))

    middle = (slice(120, 180), slice(120, 180))
    assert np.ptp(warm[middle], axis=-1).max() > 60
    assert np.ptp(none[middle], axis=-1).max() == 0


def test_where_slices_are_read_in_the_lung_s_window_else_in_their_own():
    volume = case.volume([altered(ds, WindowCenter=[40, 300], WindowWidth=[350, 2000]) for ds in ct_study(slices=4)])

    lung, other = window_for(volume, LUNG), window_for(volume, Code("10200004", "SCT", "Liver"))

    assert (lung.centre, lung.width, other.centre, other.width) == (-600, 1600, 40, 350)


def test_a_source_that_names_no_window_shows_most_of_its_values():
    volume = case.volume([altered(ds, Modality="MR") for ds in ct_study(slices=4)])

    window = window_for(volume, LUNG)

    assert window.width >= 1
    assert window.grey(volume.voxels).dtype == np.uint8


def test_what_a_lossy_image_is_made_into_is_called_lossy():
    datasets = [altered(ds, LossyImageCompression="01", LossyImageCompressionRatio="8") for ds in ct_study(slices=10)]
    volume = case.volume(datasets)

    ds = reread(volume, Findings((), ()))

    assert (ds.LossyImageCompression, ds.LossyImageCompressionRatio) == ("01", 8)


def test_neither_name_nor_id_changes_the_pixels():
    plain, other = (case.volume([altered(ds, PatientName=name, PatientID=name) for ds in ct_study(slices=10)]) for name in ("A^A", "B^B"))

    first, second = (build_sc(volume, case.findings(volume), case.run())[0].PixelData for volume in (plain, other))

    assert first == second


def test_it_refers_to_the_slices_that_it_shows():
    volume = case.volume()

    ds = reread(volume, case.findings(volume))

    assert [item.ReferencedSOPInstanceUID for item in ds.SourceImageSequence] == [volume.sources[at].SOPInstanceUID for at in (3, 5, 6)]


def test_an_estimate_is_never_rounded_to_what_would_be_certain():
    assert [percent(value) for value in (0.2, 1, 49.6, 99, 99.6)] == ["< 1 %", "1 %", "50 %", "99 %", "> 99 %"]


def test_texts_are_broken_and_shortened_to_the_room_there_is():
    text = "a sentence of several words, and averyveryverylongwordthatcannotbebroken"

    lines = wrap(text, 150, 20)

    assert all(width_px(line, 20) <= 150 for line in lines)
    assert shorten("short", 150, 20) == "short"
    assert lines[-1].endswith("…")


def test_the_font_covers_europe_s_alphabets_and_says_what_it_lacks():
    assert fonts.covers("Łódź Ελλάδα Грудная × ³ − …")
    assert not fonts.covers("肺")


@pytest.mark.parametrize("nodules", [0, 1, 3])
def test_dciodvfy_finds_no_error(nodules, tmp_path):
    volume = case.volume()
    file = tmp_path / "sc.dcm"

    file.write_bytes(encode(*build_sc(volume, case.measured_findings(volume, nodules), case.run())))

    assert dciodvfy_errors(file) == []


def test_dcmtk_shows_its_frames(tmp_path):
    volume = case.volume()
    file = tmp_path / "sc.dcm"
    file.write_bytes(encode(*build_sc(volume, case.findings(volume), case.run())))

    shown = run(tool("dcm2pnm", "Debian package dcmtk"), "--frame", "2", file, tmp_path / "frame.ppm")

    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "frame.ppm").read_bytes().startswith(b"P6\n768 768\n")
