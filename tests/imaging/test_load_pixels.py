"""Stored values -> HU, for every way to write them."""

import copy

import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from tests.factory import altered, ct_study
from tests.imaging.series import load_datasets

HU = np.random.default_rng(3).integers(-1000, 1500, (3, 40, 70)).astype(np.int16)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_a_compressed_series_has_the_hu_of_the_uncompressed_one(syntax, tmp_path):
    datasets = copy.deepcopy(ct_study(voxels=HU))
    for ds in datasets:
        ds.compress(syntax, generate_instance_uid=False)

    volume = load_datasets(datasets, tmp_path)

    assert np.array_equal(volume.voxels, HU)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian], ids=lambda uid: uid.name)
def test_every_uncompressed_syntax_has_the_same_hu(syntax, tmp_path):
    datasets = ct_study(voxels=HU)
    for ds in datasets:
        ds.file_meta.TransferSyntaxUID = syntax

    volume = load_datasets(datasets, tmp_path)

    assert np.array_equal(volume.voxels, HU)


def test_big_endian_has_the_same_hu(tmp_path):
    datasets = ct_study(voxels=HU)
    for ds in datasets:
        ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        ds.PixelData = np.frombuffer(ds.PixelData, "<i2").astype(">i2").tobytes()
        ds["PixelData"].VR = "OW"

    volume = load_datasets(datasets, tmp_path)

    assert np.array_equal(volume.voxels, HU)


def test_slices_of_one_series_may_have_different_syntaxes_and_rescaling(tmp_path):
    first, second, third = ct_study(voxels=HU)
    first.compress(RLELossless, generate_instance_uid=False)
    second = altered(second, RescaleIntercept=-1000, PixelData=(HU[1] + 1000).astype("<i2").tobytes())
    third.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    volume = load_datasets([first, second, third], tmp_path)

    assert np.array_equal(volume.voxels, HU)


@pytest.mark.parametrize(("signed", "dtype", "intercept"), [(0, "<u2", -1024), (1, "<i2", 0)], ids=["unsigned", "signed"])
@pytest.mark.parametrize("compressed", [False, True], ids=["uncompressed", "RLE"])
def test_twelve_bits_stored_are_read_as_written(signed, dtype, intercept, compressed, tmp_path):
    datasets = [
        altered(ds, PixelRepresentation=signed, RescaleIntercept=intercept, BitsStored=12, HighBit=11, PixelData=stored)
        for ds, stored in zip(ct_study(voxels=HU), ((hu - intercept).astype(dtype).tobytes() for hu in HU), strict=True)
    ]
    if compressed:
        for ds in datasets:
            ds.compress(RLELossless, generate_instance_uid=False)

    volume = load_datasets(datasets, tmp_path)

    assert np.array_equal(volume.voxels, HU)


@pytest.mark.parametrize(("signed", "intercept"), [(0, -1024), (1, 0)], ids=["unsigned", "signed"])
def test_an_overlay_in_the_unused_high_bits_is_no_hu(signed, intercept, tmp_path):
    overlay = np.random.default_rng(5).integers(0, 16, HU.shape) << 12
    stored = ((HU.astype(np.int32) - intercept) & 0x0FFF) | overlay
    datasets = [
        altered(
            ds, PixelRepresentation=signed, RescaleIntercept=intercept, BitsStored=12, HighBit=11, PixelData=words.astype("<u2").tobytes()
        )
        for ds, words in zip(ct_study(voxels=HU), stored, strict=True)
    ]

    volume = load_datasets(datasets, tmp_path)

    assert np.array_equal(volume.voxels, HU)


def test_slope_and_intercept_are_applied_and_rounded(tmp_path):
    datasets = [altered(ds, RescaleSlope=0.5, RescaleIntercept=-10.25) for ds in ct_study(voxels=HU)]

    volume = load_datasets(datasets, tmp_path)

    assert np.array_equal(volume.voxels, np.rint((HU + 1024) * 0.5 - 10.25))


def test_values_beyond_sixteen_bits_are_clipped_not_wrapped(tmp_path):
    extremes = np.full((40, 70), 65535, "<u2")
    extremes[0] = 0
    datasets = [
        altered(ds, PixelRepresentation=0, RescaleIntercept=intercept, PixelData=extremes.tobytes())
        for ds, intercept in zip(ct_study(voxels=HU[:2]), (-1024, -40000), strict=True)
    ]

    volume = load_datasets(datasets, tmp_path)

    assert [(int(plane.min()), int(plane.max())) for plane in volume.voxels] == [(-1024, 32767), (-32768, 25535)]
