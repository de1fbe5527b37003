"""LUNA16's patches are read as their label files say, and damage is told with the file's name."""

import shutil

import numpy as np
import pytest

from cad_node.training.detection.luna_patches import AIR_HU, SHA256, read_luna_patches
from cad_node.training.samples import DataError, Split
from tests.training.detection.luna_folder import COUNTS, make_patch_folder, pack, save_grey


@pytest.fixture
def own_folder(tmp_path):
    """One that a test may damage."""
    return make_patch_folder(tmp_path / "set")


@pytest.mark.parametrize("split", list(Split))
def test_split_holds_what_its_label_file_names_and_nothing_else(patch_folder, split):
    read = read_luna_patches(patch_folder, split)

    assert read.inputs.shape == (COUNTS[split], 1, 50, 50)
    assert read.inputs.dtype == np.float32
    assert read.targets["nodule"].tolist() == [float(index % 3 == 0) for index in range(COUNTS[split])]


def test_image_that_no_label_file_names_is_never_opened(own_folder):
    shutil.rmtree(own_folder / "test")
    (own_folder / "testdatalabels.txt").unlink()

    read = read_luna_patches(own_folder, Split.TRAIN)

    assert len(read.targets["nodule"]) == COUNTS[Split.TRAIN]


def test_grey_becomes_the_hu_it_was_made_from(own_folder):
    save_grey(own_folder / "val" / "image_0.jpg", np.full((50, 50), 255, np.uint8))
    save_grey(own_folder / "val" / "image_1.jpg", np.full((50, 50), 0, np.uint8))

    read = read_luna_patches(own_folder, Split.VALIDATION)

    assert read.inputs[0] == pytest.approx(400, abs=1e-3)
    assert read.inputs[1] == pytest.approx(-1000, abs=1e-3)


def test_patch_that_the_image_border_cut_short_is_filled_with_air(own_folder):
    save_grey(own_folder / "val" / "image_0.jpg", np.full((46, 50), 200, np.uint8))

    read = read_luna_patches(own_folder, Split.VALIDATION)

    assert np.all(read.inputs[0, 0, [0, 1, 48, 49]] == AIR_HU)
    assert np.all(read.inputs[0, 0, 2:48] > 0)


def test_archive_and_its_folder_and_the_unpacked_folder_read_the_same(patch_folder, tmp_path):
    archive = pack(patch_folder, tmp_path / "luna16_patches2d")

    unpacked = read_luna_patches(patch_folder, Split.TEST)
    from_archive = read_luna_patches(archive, Split.TEST)
    from_its_folder = read_luna_patches(archive.parent, Split.TEST)
    from_all_data = read_luna_patches(archive.parent.parent, Split.TEST)

    assert unpacked.sha256 == from_archive.sha256 == from_its_folder.sha256 == from_all_data.sha256
    assert np.array_equal(unpacked.inputs, from_archive.inputs)


def test_changed_image_is_refused_by_its_checksum(own_folder):
    before = read_luna_patches(own_folder, Split.VALIDATION).sha256
    save_grey(own_folder / "val" / "image_3.jpg", np.zeros((50, 50), np.uint8))

    with pytest.raises(DataError, match=rf"SHA-256 of the val split is [0-9a-f]{{64}}, expected {before}"):
        read_luna_patches(own_folder, Split.VALIDATION, before)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "val/image_2.jpg").unlink(), r"val/image_2\.jpg is missing"),
        (lambda folder: (folder / "val/image_2.jpg").write_bytes(b"junk"), r"image_2\.jpg: not readable as an image"),
        (lambda folder: (folder / "valdatalabels.txt").unlink(), r"valdatalabels\.txt is missing"),
        (lambda folder: (folder / "valdatalabels.txt").write_text(""), "images of both labels"),
        (lambda folder: (folder / "valdatalabels.txt").write_text("val/image_2.jpg 0\n"), "images of both labels"),
        (lambda folder: (folder / "valdatalabels.txt").write_text("val/image_2.jpg 7\n"), "isn't an image path and a label"),
        (lambda folder: (folder / "valdatalabels.txt").write_text("../secret.jpg 1\n"), "isn't an image path and a label"),
        (lambda folder: (folder / "valdatalabels.txt").write_bytes(b"\xff\xfe\x00"), "not text"),
        (lambda folder: save_grey(folder / "val/image_2.jpg", np.zeros((64, 64), np.uint8)), "64×64 pixels"),
    ],
)
def test_damaged_folder_is_refused_with_the_file_named(own_folder, damage, message):
    damage(own_folder)

    with pytest.raises(DataError, match=message):
        read_luna_patches(own_folder, Split.VALIDATION)


def test_missing_source_and_broken_archive_are_clear_errors(tmp_path):
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(b"\x1f\x8bno")

    with pytest.raises(DataError, match="no such file or folder"):
        read_luna_patches(tmp_path / "nowhere", Split.TRAIN)
    with pytest.raises(DataError, match="not readable as a tar archive"):
        read_luna_patches(broken, Split.TRAIN)


def test_published_archive_is_the_one_the_checksums_are_of(luna_patches):
    reads = {split: read_luna_patches(luna_patches, split, SHA256[split]) for split in Split}

    assert {split: (len(read), int(read.targets["nodule"].sum())) for split, read in reads.items()} == {
        Split.TRAIN: (5187, 845),
        Split.VALIDATION: (1297, 224),
        Split.TEST: (1622, 282),
    }
