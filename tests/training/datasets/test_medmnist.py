import os
from pathlib import Path

import numpy as np
import pytest

from cad_node.training.datasets.medmnist import is_medmnist, read_medmnist
from cad_node.training.samples import DataError, Split


def write_set(file: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    np.savez(file, **{f"{split}_{kind}": array for split in Split for kind, array in (("images", images), ("labels", labels))})
    return file


def test_grey_images_have_one_channel_and_labels_are_flat(tmp_path):
    images = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    file = write_set(tmp_path / "set.npz", images, np.array([[0], [1], [1]], np.uint8))

    samples = read_medmnist(file, Split.VALIDATION)

    assert is_medmnist(file)
    assert samples.inputs.dtype == np.float32
    assert np.array_equal(samples.inputs[:, 0], images)
    assert samples.targets["label"].tolist() == [0, 1, 1]
    assert samples.patients == ()


def test_colour_images_have_three_channels_and_several_labels_stay(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)
    file = write_set(tmp_path / "set.npz", images, np.array([[0, 1], [1, 1]], np.uint8))

    samples = read_medmnist(file, Split.TRAIN)

    assert np.array_equal(samples.inputs[1, 2], images[1, :, :, 2])
    assert samples.targets["label"].tolist() == [[0, 1], [1, 1]]


def test_a_file_that_is_no_set_is_named(tmp_path):
    (tmp_path / "set.npz").write_bytes(b"nothing")

    with pytest.raises(DataError, match=r"set\.npz: not a set of MedMNIST"):
        read_medmnist(tmp_path / "set.npz", Split.TRAIN)


def test_the_official_breast_set_has_its_official_splits():
    if "CAD_NODE_DATA" not in os.environ:
        pytest.skip("CAD_NODE_DATA is unset: the folder of real data sets")

    samples = {split: read_medmnist(Path(os.environ["CAD_NODE_DATA"]) / "medmnist" / "breastmnist.npz", split) for split in Split}

    assert [len(of_split) for of_split in samples.values()] == [546, 78, 156]
    assert samples[Split.TEST].inputs.shape == (156, 1, 28, 28)
    assert samples[Split.TEST].targets["label"].mean() == pytest.approx(114 / 156)
