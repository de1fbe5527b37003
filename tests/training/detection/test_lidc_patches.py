"""Patches of annotated nodules: positives in the middle, negatives away from every mark, patients kept apart, synthetic ones named."""

import numpy as np
import pytest

from cad_node.training.detection.lidc_patches import read_lidc_patches
from cad_node.training.samples import Split, check_patients_apart

TEST_SCANS = {"LIDC-IDRI-0003", "LIDC-IDRI-0314"}


@pytest.fixture(scope="module")
def splits(real_data):
    if not (real_data / "lidc_nodule_slices").is_dir():
        pytest.skip(f"{real_data / 'lidc_nodule_slices'} isn't there")
    return {split: read_lidc_patches(real_data, split) for split in (Split.TRAIN, Split.VALIDATION)}


@pytest.mark.slow
def test_no_patient_is_in_two_splits_and_the_test_scans_are_in_neither(splits):
    check_patients_apart(splits)

    assert not TEST_SCANS & {patient for samples in splits.values() for patient in samples.patients}
    assert len(splits[Split.TRAIN]) > 5000


@pytest.mark.slow
def test_synthetic_patches_are_named_and_only_trained_on(splits):
    synthetic = splits[Split.TRAIN].attributes["synthetic"]

    assert not splits[Split.VALIDATION].attributes["synthetic"].any()
    assert splits[Split.TRAIN].targets["nodule"][synthetic].mean() == 0.5


@pytest.mark.slow
def test_blur_does_not_tell_synthetic_nodules_from_synthetic_tissue(splits):
    """The noise of the tissue around, which enlarging took away from both alike."""
    samples = splits[Split.TRAIN]
    synthetic, label = samples.attributes["synthetic"], samples.targets["nodule"]
    rim = samples.inputs[:, 0, :3].astype(np.float64)
    detail = np.abs(np.diff(rim, n=2, axis=2)).mean(axis=(1, 2))

    with_nodule, without = detail[synthetic & (label == 1)], detail[synthetic & (label == 0)]

    assert np.median(with_nodule) == pytest.approx(np.median(without), rel=0.3)


@pytest.mark.slow
def test_nodules_are_brighter_in_the_middle_than_at_the_rim(splits):
    samples = splits[Split.VALIDATION]
    positives = samples.inputs[samples.targets["nodule"] == 1, 0]

    middle, rim = positives[:, 14:18, 14:18].mean(axis=(1, 2)), positives[:, [0, -1]].mean(axis=(1, 2))

    assert np.mean(middle > rim) > 0.85
