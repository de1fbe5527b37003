"""Every model folder that is shipped, against its recipe, its golden case, its card and its published figures."""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cad_node.inference.network import load_network
from cad_node.manifest import PartFolder, read_part
from cad_node.training.card import fill_card
from cad_node.training.metrics import read_metrics
from cad_node.training.recipes import find_recipe
from cad_node.training.samples import Split
from tests.shipped_models import LUNG_NODULES, every_folder

DATA = os.environ.get("CAD_NODE_DATA")
ANY_FOLDER = pytest.mark.parametrize("folder", every_folder(), ids=lambda folder: folder.parent.name)
HALF_DIFFERENCE = 0.02


def network(folder: Path, *, half: bool = False):
    return load_network(PartFolder(folder, read_part(folder)), "cpu", 1, half=half)


def test_every_recipe_but_the_general_one_has_a_folder():
    assert {folder.parent.name for folder in every_folder()} == {
        "lung_segmentation_ct",
        "lung_nodule_ct",
        "lung_nodule_lidc_ct",
        "nodule_segmentation_ct",
        "nodule_malignancy_ct",
    }


@ANY_FOLDER
def test_golden_inputs_are_the_recipe_s(folder):
    assert np.array_equal(np.load(folder / "golden" / "inputs.npy"), find_recipe(folder.parent.name).golden())


@ANY_FOLDER
def test_graph_and_parameters_are_those_that_were_evaluated(folder):
    recipe, part = find_recipe(folder.parent.name), read_part(folder)

    assert part.parameters == pytest.approx(dict(read_metrics(folder / "metrics.json").evaluation.parameters), rel=1e-5)
    assert part.graph.outputs == recipe.outputs
    assert part.graph.input == recipe.input


@ANY_FOLDER
def test_card_says_what_was_measured(folder):
    text, metrics = find_recipe(folder.parent.name).texts / "MODEL_CARD.md", read_metrics(folder / "metrics.json")

    assert (folder / "MODEL_CARD.md").read_text() == fill_card(text, metrics, folder.name)
    assert all((folder / "pictures" / picture.file).is_file() != picture.shows_data for picture in metrics.evaluation.pictures)


@ANY_FOLDER
def test_half_precision_says_nearly_the_same(folder):
    inputs = np.load(folder / "golden" / "inputs.npy")

    whole, half = (network(folder, half=half).run(inputs) for half in (False, True))

    for name in set(whole) - {"activation"}:
        assert np.abs(whole[name] - half[name]).max() < HALF_DIFFERENCE


@pytest.mark.parametrize(
    ("name", "key", "least", "most"),
    [
        ("lung_segmentation_ct", "test_dice", 0.97, 1),
        ("lung_nodule_ct", "test_auc", 0.985, 1),
        ("nodule_segmentation_ct", "test_dice", 0.82, 1),
        ("nodule_malignancy_ct", "test_auc", 0.93, 1),
        ("nodule_malignancy_ct", "unseen_ece", 0, 0.05),
    ],
)
def test_published_figures_are_as_good_as_was_aimed_at(name, key, least, most):
    folder = next(folder for folder in every_folder() if folder.parent.name == name)

    figure = read_metrics(folder / "metrics.json").evaluation.figure(key)

    assert least <= figure.value <= most


@pytest.mark.parametrize("name", ["lung_nodule_ct", "lung_nodule_lidc_ct", "nodule_malignancy_ct"])
def test_activation_map_is_higher_where_the_nodule_is(name):
    """Over the golden inputs that score highest."""
    folder = next(folder for folder in every_folder() if folder.parent.name == name)
    inputs = np.load(folder / "golden" / "inputs.npy")

    outputs = network(folder).run(inputs)

    best = int(np.argmax(outputs["scores" if "scores" in outputs else "malignancy"]))
    activation, image = outputs["activation"][best], inputs[best, len(inputs[best]) // 2]
    assert activation.shape == image.shape
    bright = image > -400
    assert activation[bright].mean() > activation[~bright].mean()


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="CAD_NODE_DATA names no folder of real data sets")
def test_test_patches_give_the_figures_of_the_detector_s_card():
    test = find_recipe("lung_nodule_ct").read(Path(DATA or ""), Split.TEST, 0)
    figures = read_metrics(LUNG_NODULES / "metrics.json").evaluation
    detector = network(LUNG_NODULES)

    scores = np.concatenate([detector.run(np.asarray(part, np.float32))["scores"] for part in np.array_split(test.inputs, 16)])

    labels = next(iter(test.targets.values()))
    assert roc_auc_score(labels, scores) == pytest.approx(figures.figure("test_auc").value, abs=1e-3)
    assert figures.figure("test_auc").value >= 0.985
    assert (scores >= detector.parameters["threshold"])[labels == 1].mean() == pytest.approx(
        figures.figure("test_sensitivity").value, abs=5e-3
    )
