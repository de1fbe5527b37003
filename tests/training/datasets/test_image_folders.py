from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cad_node.training.datasets.image_folders import is_image_folders, patient_of, read_image_folders
from cad_node.training.samples import DataError, Split, check_patients_apart


def write_image(file: Path, grey: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (90, 70), grey).save(file)


@pytest.fixture
def radiographs(tmp_path) -> Path:
    """60 patients of each class to train with, two images each, and five to test; person3 is in both."""
    for person in range(60):
        for image in range(2):
            write_image(tmp_path / "train" / "PNEUMONIA" / f"person{person}_bacteria_{image}.jpeg", 200)
            write_image(tmp_path / "train" / "NORMAL" / f"IM-{person:04d}-{image:04d}.jpeg", 50)
    for person in (3, 70, 71, 72, 73):
        write_image(tmp_path / "test" / "PNEUMONIA" / f"person{person}_virus_9.jpeg", 200)
        write_image(tmp_path / "test" / "NORMAL" / f"NORMAL2-IM-{person:04d}-0001.jpeg", 50)
    write_image(tmp_path / "val" / "NORMAL" / "IM-0900-0001.jpeg", 50)
    return tmp_path


def test_images_are_squares_and_labels_number_the_classes(radiographs):
    samples = read_image_folders(radiographs, Split.TEST)

    assert is_image_folders(radiographs)
    assert samples.inputs.shape == (10, 1, 64, 64)
    assert samples.targets["label"].tolist() == [0] * 5 + [1] * 5
    assert samples.inputs[:5].mean() == pytest.approx(50, abs=1)
    assert samples.attributes["class"][-1] == "PNEUMONIA"


def test_no_patient_is_in_two_splits_and_who_is_tested_is_left_out(radiographs):
    splits = {split: read_image_folders(radiographs, split) for split in Split}

    check_patients_apart(splits)
    assert "person3" in splits[Split.TEST].patients
    assert len(splits[Split.TRAIN]) + len(splits[Split.VALIDATION]) == 240 + 1 - 2
    assert 0.05 < len(splits[Split.VALIDATION]) / 240 < 0.3
    assert splits[Split.TRAIN].sha256 != splits[Split.VALIDATION].sha256


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person12_virus_3.jpeg", "person12"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("NORMAL2-IM-0030-0001.jpeg", "NORMAL2-IM-0030"),
        ("a7.jpg", "a7"),
    ],
)
def test_the_patient_is_told_by_the_file_name(name, patient):
    assert patient_of(Path(name)) == patient


def test_a_broken_image_is_named(radiographs):
    (radiographs / "test" / "NORMAL" / "IM-1-1.jpeg").write_bytes(b"nothing")

    with pytest.raises(DataError, match=r"IM-1-1\.jpeg: not readable as an image"):
        read_image_folders(radiographs, Split.TEST)


def test_a_class_without_images_is_told(radiographs):
    (radiographs / "train" / "COVID").mkdir()

    with pytest.raises(DataError, match="the test split needs images of each class: COVID, NORMAL, PNEUMONIA"):
        read_image_folders(radiographs, Split.TEST)


def test_the_checksum_tells_other_pixels_apart(radiographs):
    before = read_image_folders(radiographs, Split.TEST).sha256

    write_image(radiographs / "test" / "NORMAL" / "NORMAL2-IM-0003-0001.jpeg", 51)

    assert not np.equal(before, read_image_folders(radiographs, Split.TEST).sha256)
