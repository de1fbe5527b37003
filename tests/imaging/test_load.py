"""A series on disk becomes HU in patient space, whatever its file order, direction or transfer syntax."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.factory import altered, ct_study, save_study
from tests.imaging.series import load_datasets, load_files

FLIPS = {"HFS": (1, 1), "FFS": (-1, 1), "HFP": (-1, -1), "mirrored rows": (1, -1)}  # signs of the row's and the column's direction


def ramp(slices: int = 5, size: int = 16) -> np.ndarray:
    """A volume whose every voxel is different."""
    return np.arange(slices * size * size, dtype=np.int16).reshape(slices, size, size) - 800


def flipped(datasets: list, signs: tuple[int, int]) -> list:
    """The same voxels of the same patient, stored with rows and columns that run other ways."""
    x_sign, y_sign = signs
    turned = []
    for ds in datasets:
        pixels = np.frombuffer(ds.PixelData, "<i2").reshape(ds.Rows, ds.Columns)[::y_sign, ::x_sign]
        x, y, z = ds.ImagePositionPatient
        x += (ds.Columns - 1) * ds.PixelSpacing[1] if x_sign < 0 else 0
        y += (ds.Rows - 1) * ds.PixelSpacing[0] if y_sign < 0 else 0
        orientation = [x_sign, 0, 0, 0, y_sign, 0]
        turned.append(altered(ds, PixelData=pixels.tobytes(), ImagePositionPatient=[x, y, z], ImageOrientationPatient=orientation))
    return turned


@settings(max_examples=25, deadline=None)
@given(data=st.data(), patient_position=st.sampled_from(sorted(FLIPS)), spacing_mm=st.floats(0.5, 4.0))
def test_every_voxel_lies_where_it_did_however_the_series_is_stored(data, patient_position, spacing_mm):
    voxels = ramp()
    stored = flipped(ct_study(spacing_mm=round(spacing_mm, 3), voxels=voxels), FLIPS[patient_position])
    shuffled = data.draw(st.permutations(stored))

    with tempfile.TemporaryDirectory() as folder:
        volume = load_datasets(shuffled, Path(folder))

    z, y, x = 3, 2, 11  # of the volume as it was made
    (found,) = np.argwhere(volume.voxels == voxels[z, y, x])
    assert volume.to_lps(tuple(found)) == pytest.approx((-16 * 0.75 / 2 + x * 0.75, -16 * 0.75 / 2 + y * 0.75, z * round(spacing_mm, 3)))
    assert float(volume.sources[found[0]].ImagePositionPatient[2]) == pytest.approx(z * round(spacing_mm, 3))


@pytest.mark.parametrize("signs", FLIPS.values(), ids=FLIPS)
def test_slices_run_along_the_normal(signs, tmp_path):
    datasets = flipped(ct_study(voxels=ramp()), signs)

    volume = load_datasets(datasets, tmp_path)

    step, along_column, along_row = volume.affine[:3, :3].T
    assert np.dot(step, np.cross(along_row, along_column)) > 0


def test_sources_are_headers_in_slice_order_without_pixels(tmp_path):
    datasets = ct_study(voxels=ramp())

    volume = load_datasets(datasets[::-1], tmp_path)

    assert [ds.SOPInstanceUID for ds in volume.sources] == [ds.SOPInstanceUID for ds in datasets]
    assert not any("PixelData" in ds for ds in volume.sources)
    assert volume.sources[0].PatientID == "TEST-1"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_every_lossless_transfer_syntax_gives_the_same_voxels(syntax, tmp_path):
    datasets = ct_study(voxels=ramp(size=32))
    paths = save_study(datasets, tmp_path)
    for ds, path in zip(datasets, paths, strict=True):
        if syntax.is_compressed and not syntax.is_deflated:
            ds.compress(syntax, generate_instance_uid=False)
        else:
            ds.file_meta.TransferSyntaxUID = syntax
        ds.save_as(path, enforce_file_format=True)

    volume = load_files(paths)

    np.testing.assert_array_equal(volume.voxels, ramp(size=32))


def test_rescaling_rounds_and_clips(tmp_path):
    datasets = [altered(ds, RescaleSlope=2.5, RescaleIntercept=-1024) for ds in ct_study(voxels=np.full((2, 8, 8), 20_000, np.int16))]
    datasets[0].PixelData = np.full((8, 8), 3, "<i2").tobytes()

    volume = load_datasets(datasets, tmp_path)

    assert volume.voxels[0, 0, 0] == round(3 * 2.5 - 1024)
    assert volume.voxels[1, 0, 0] == 32767


def test_bits_above_those_stored_are_ignored(tmp_path):
    datasets = [altered(ds, BitsStored=12, HighBit=11, PixelRepresentation=0) for ds in ct_study(voxels=np.zeros((2, 8, 8), np.int16))]
    for ds in datasets:
        ds.PixelData = np.full((8, 8), 0xF000 | 1024, "<u2").tobytes()  # an old overlay in the high bits

    volume = load_datasets(datasets, tmp_path)

    assert np.all(volume.voxels == 0)


def test_a_frame_of_reference_per_image_becomes_one(tmp_path):
    datasets = [altered(ds, FrameOfReferenceUID=f"1.2.3.{number}") for number, ds in enumerate(ct_study())]

    volume = load_datasets(datasets, tmp_path)

    assert {ds.FrameOfReferenceUID for ds in volume.sources} == {"1.2.3.0"}
