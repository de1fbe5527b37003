"""The LCTSC masks are read as HU and lung, and no patient is on both sides of a split."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cad_node.training.lungs.lctsc_masks import FOLDS, read_cases, read_split, split_of
from cad_node.training.samples import DataError, Split, check_patients_apart

DATA = os.environ.get("CAD_NODE_DATA", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six patients of four slices; lung on the second alone."""
    for patient in range(6):
        grey, mask = np.zeros((4 * 256, 256), np.uint8), np.zeros((4 * 256, 256), np.uint8)
        grey[256 + 100 : 256 + 120, 80:90], mask[256 + 100 : 256 + 120, 80:90] = 51, 255
        Image.fromarray(grey).save(tmp_path / f"Case_{patient:03}_img.png")
        Image.fromarray(mask).save(tmp_path / f"Case_{patient:03}_mask.png")
    return tmp_path


def test_grey_is_hu_and_the_mask_is_on_its_own_slice(folder):
    (case, *others), _ = read_cases(folder, "")

    assert len(others) == 5
    assert (case.voxels.min(), case.voxels.max()) == (-1024, round(51 * 1424 / 255 - 1024))
    assert case.lungs.sum(axis=(1, 2)).tolist() == [0, 200, 0, 0]


@pytest.mark.parametrize("member", range(FOLDS + 1))
def test_no_patient_is_in_two_splits(folder, member):
    splits = {split: read_split(folder, split, member, "") for split in Split}

    check_patients_apart(splits)
    assert len({patient for samples in splits.values() for patient in samples.patients}) == 6
    assert len(splits[Split.TEST]) == (0 if member == FOLDS else 4 * len(set(splits[Split.TEST].patients)))


@pytest.mark.parametrize("patients", [6, 12])
def test_every_patient_is_tested_by_one_member_alone(patients):
    everyone = range(patients)
    tested = Counter(one for member in range(FOLDS + 1) for one in everyone if split_of(one, patients, member) is Split.TEST)

    assert tested == dict.fromkeys(everyone, 1)


def test_a_set_that_was_changed_is_refused(folder):
    with pytest.raises(DataError, match="SHA-256"):
        read_split(folder, Split.TRAIN, 0)


def test_a_file_that_is_no_stack_of_slices_is_named(folder):
    Image.fromarray(np.zeros((300, 256), np.uint8)).save(folder / "Case_003_img.png")

    with pytest.raises(DataError, match=r"Case_003_img\.png: 256×300 pixels"):
        read_cases(folder, "")


def test_an_empty_folder_says_what_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"holds no Case_NNN_img\.png"):
        read_cases(tmp_path)


@pytest.mark.skipif(not DATA, reason="CAD_NODE_DATA names no folder of real scans")
def test_the_real_set_is_the_one_trained_on():
    cases, _ = read_cases(Path(DATA))

    assert len(cases) == 12
    assert all(-1024 <= case.voxels.min() < -990 < 300 < case.voxels.max() for case in cases)
