"""Whatever the order of the files and the way the planes are written, every HU lies where it lay in the patient."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from cad_node.imaging.volume import Volume
from tests.factory import altered, ct_study
from tests.imaging.series import load_datasets

SPACING_MM, PIXEL_SPACING_MM = 2.5, 0.75
SHAPE = (5, 6, 9)  # slices, rows, columns
HU = np.random.default_rng(7).integers(-1000, 1500, SHAPE).astype(np.int16)
STUDY = ct_study(spacing_mm=SPACING_MM, pixel_spacing_mm=PIXEL_SPACING_MM, voxels=HU)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(SHAPE[0])), st.booleans(), st.booleans(), st.booleans())
def test_every_voxel_keeps_its_place_however_the_series_is_written(order, columns_flipped, rows_flipped, numbers_reversed):
    datasets = [written_otherwise(STUDY[z], columns_flipped, rows_flipped) for z in order]
    for number, ds in enumerate(sorted(datasets, key=lambda ds: ds.ImagePositionPatient[2], reverse=numbers_reversed), 1):
        ds.InstanceNumber = number

    with tempfile.TemporaryDirectory() as folder:
        volume = load_datasets(datasets, Path(folder))

    assert hu_by_place(volume) == EXPECTED
    assert volume.spacing_mm == pytest.approx((SPACING_MM, PIXEL_SPACING_MM, PIXEL_SPACING_MM))


@given(st.permutations(range(SHAPE[0])))
@settings(max_examples=10, deadline=None)
def test_headers_come_in_the_order_of_the_slices_and_without_pixels(order):
    with tempfile.TemporaryDirectory() as folder:
        volume = load_datasets([STUDY[z] for z in order], Path(folder))

    assert [header.SOPInstanceUID for header in volume.sources] == [ds.SOPInstanceUID for ds in STUDY]
    assert not any("PixelData" in header for header in volume.sources)


@pytest.mark.parametrize("rows_flipped", [False, True])
@pytest.mark.parametrize("columns_flipped", [False, True])
def test_slices_run_along_the_normal_even_where_it_points_to_the_feet(columns_flipped, rows_flipped, tmp_path):
    datasets = [written_otherwise(ds, columns_flipped, rows_flipped) for ds in STUDY]

    volume = load_datasets(datasets, tmp_path)

    step, along_column, along_row = volume.affine[:3, :3].T
    assert np.dot(step, np.cross(along_row, along_column)) == pytest.approx(SPACING_MM * PIXEL_SPACING_MM**2)
    assert (volume.sources[0].SOPInstanceUID == STUDY[0].SOPInstanceUID) == (columns_flipped == rows_flipped)


def test_the_affine_of_a_turned_patient_is_exact(tmp_path):
    turned = np.radians(4)
    along_row = np.array([np.cos(turned), np.sin(turned), 0])
    along_column = np.array([-np.sin(turned), np.cos(turned), 0])
    datasets = [altered(ds, ImageOrientationPatient=[*np.round((*along_row, *along_column), 9)]) for ds in STUDY]

    volume = load_datasets(datasets, tmp_path)

    first = np.array(datasets[0].ImagePositionPatient, float)
    expected = first + 3 * SPACING_MM * np.array([0, 0, 1]) + PIXEL_SPACING_MM * (2 * along_column + 7 * along_row)
    assert volume.to_lps((3, 2, 7)) == pytest.approx(expected, abs=1e-6)


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_a_regular_stack(tmp_path):
    datasets = [altered(ds, ImagePositionPatient=[-3.4, -2.2, round(0.625 * z, 1)]) for z, ds in enumerate(STUDY)]

    volume = load_datasets(datasets, tmp_path)

    assert volume.spacing_mm[0] == pytest.approx(0.625, abs=0.02)


def test_a_frame_of_reference_for_each_image_becomes_one(tmp_path):
    datasets = [altered(ds, FrameOfReferenceUID=f"1.2.3.{z}") for z, ds in enumerate(STUDY)]

    volume = load_datasets(datasets, tmp_path)

    assert {header.FrameOfReferenceUID for header in volume.sources} == {"1.2.3.0"}


def written_otherwise(ds: Dataset, columns_flipped: bool, rows_flipped: bool) -> Dataset:
    """The same image, its columns from left to right of the patient, its rows from back to front."""
    pixels = np.frombuffer(ds.PixelData, "<i2").reshape(ds.Rows, ds.Columns)
    x, y, z = (float(value) for value in ds.ImagePositionPatient)
    if columns_flipped:
        pixels, x = pixels[:, ::-1], x + (ds.Columns - 1) * PIXEL_SPACING_MM
    if rows_flipped:
        pixels, y = pixels[::-1], y + (ds.Rows - 1) * PIXEL_SPACING_MM
    orientation = [-1 if columns_flipped else 1, 0, 0, 0, -1 if rows_flipped else 1, 0]
    return altered(ds, PixelData=pixels.tobytes(), ImagePositionPatient=[x, y, z], ImageOrientationPatient=orientation)


def hu_by_place(volume: Volume) -> dict[tuple[float, ...], int]:
    return {tuple(np.round(volume.to_lps(index), 3) + 0.0): int(value) for index, value in np.ndenumerate(volume.voxels)}


def _expected() -> dict[tuple[float, ...], int]:
    x, y, z = (float(value) for value in STUDY[0].ImagePositionPatient)
    return {
        (round(x + column * PIXEL_SPACING_MM, 3), round(y + row * PIXEL_SPACING_MM, 3), round(z + slice_ * SPACING_MM, 3)): int(value)
        for (slice_, row, column), value in np.ndenumerate(HU)
    }


EXPECTED = _expected()
