from pathlib import Path

import numpy as np
import pytest
import torch

from cad_node.training.evaluate import evaluate
from cad_node.training.export import export
from cad_node.training.graph import run_graph
from cad_node.training.images.network import ImageNetwork, ServedImages
from cad_node.training.images.recipes import IMAGE_CLASSIFIER
from cad_node.training.images.samples import read_images
from cad_node.training.recipe import predict
from cad_node.training.samples import DataError, Split
from cad_node.training.train import train

COUNTS = {Split.TRAIN: 128, Split.VALIDATION: 40, Split.TEST: 40}


@pytest.fixture(scope="module")
def squares(tmp_path_factory) -> Path:
    """A set of MedMNIST's form: grey noise, half of the images with a bright square somewhere."""
    random, arrays = np.random.default_rng(0), {}
    for split, count in COUNTS.items():
        labels = np.arange(count) % 2
        images = random.normal(90, 20, (count, 16, 16))
        for image, label in zip(images, labels, strict=True):
            row, column = random.integers(0, 11, 2)
            image[row : row + 5, column : column + 5] += 120 * label
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = images.clip(0, 255).astype(np.uint8), labels[:, None].astype(np.uint8)
    file = tmp_path_factory.mktemp("set") / "squares.npz"
    np.savez(file, **arrays)
    return file


@pytest.fixture(scope="module")
def run(squares, tmp_path_factory) -> Path:
    folder = train(IMAGE_CLASSIFIER, squares, tmp_path_factory.mktemp("training") / "run", epochs=6)
    evaluate(IMAGE_CLASSIFIER, folder, squares)
    return folder


def test_it_is_trained_measured_and_exported_from_end_to_end(run, squares, tmp_path):
    folder = export(IMAGE_CLASSIFIER, run, tmp_path, "1.0.0", squares)

    samples = read_images(squares, Split.TEST)
    outputs = run_graph(folder / "model.onnx", IMAGE_CLASSIFIER, np.ascontiguousarray(samples.inputs))
    called = outputs["scores"] > 0.5
    assert (called == samples.targets["label"]).mean() > 0.9
    assert outputs["activation"].shape == (40, 16, 16)
    assert "Area under the ROC curve" in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_activation_points_at_what_was_found(run, squares):
    network = IMAGE_CLASSIFIER.network()
    network.load_state_dict(torch.load(run / "member-0" / "best.pt", weights_only=True)["network"])
    image = np.full((1, 3, 16, 16), 90, np.float32)
    image[:, :, 1:6, 9:14] += 120

    _, activation = ServedImages([network.eval()], {"scale": 1.0, "offset": 0.0})(torch.from_numpy(image))

    inside, elsewhere = activation[0, 1:6, 9:14].mean(), activation[0, 9:, :6].mean()
    assert inside > 1.2 * elsewhere


def test_the_mean_of_the_map_of_evidence_is_the_logit():
    torch.manual_seed(0)
    images = np.random.default_rng(0).uniform(0, 255, (3, 3, 20, 24)).astype(np.float32)

    outputs = predict(ImageNetwork(), images)

    assert outputs["places"].shape == (3, 5, 6)
    assert outputs["places"].mean(axis=(1, 2)) == pytest.approx(outputs["logits"], abs=1e-5)


def test_more_than_two_classes_are_refused(tmp_path):
    images, labels = np.zeros((6, 4, 4), np.uint8), np.array([[0], [1], [2]] * 2, np.uint8)
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=labels)

    with pytest.raises(DataError, match="this classifier tells two classes apart"):
        read_images(tmp_path / "set.npz", Split.TRAIN)


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"neither a MedMNIST \.npz"):
        read_images(tmp_path, Split.TRAIN)
