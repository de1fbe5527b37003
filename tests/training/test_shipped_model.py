"""The model folder that is shipped, against its own manifest, golden case and published figures."""

import numpy as np
import onnxruntime
import pytest
from sklearn.metrics import roc_auc_score

from cad_node.manifest import read_manifest
from cad_node.shipped import shipped
from cad_node.training.luna_patches import read_split
from cad_node.training.metrics import read_metrics
from cad_node.training.patch_set import Split
from cad_node.training.recipes import find_recipe

FOLDER = shipped("models") / "lung_nodule_ct" / "1.0.0"


@pytest.fixture(scope="module")
def session():
    return onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])


def test_manifest_is_valid_and_its_graph_is_the_one_shipped():
    manifest = read_manifest(FOLDER)  # checks the SHA-256

    assert manifest.output.threshold == pytest.approx(read_metrics(FOLDER / "metrics.json").threshold, abs=1e-6)


def test_golden_case_is_the_recipes_and_its_outputs_are_the_graphs(session):
    inputs, outputs = np.load(FOLDER / "golden/inputs.npy"), np.load(FOLDER / "golden/outputs.npy")

    (scores,) = session.run(["scores"], {"patches": inputs})

    assert np.array_equal(inputs, find_recipe("lung_nodule_ct").golden_patches())
    assert scores == pytest.approx(outputs, abs=read_manifest(FOLDER).golden.tolerance)


def test_golden_nodules_score_high_and_vessels_and_plain_lung_low():
    outputs = np.load(FOLDER / "golden/outputs.npy")

    assert np.all(outputs[:6] > 0.5)  # discs
    assert np.all(outputs[6:] < 0.5)  # tubes that pass through, lung alone


def test_test_split_gives_the_figures_of_the_card(session, luna_patches):
    reported = read_metrics(FOLDER / "metrics.json")
    test = read_split(luna_patches, Split.TEST, reported.test.sha256)

    scores = np.concatenate([session.run(["scores"], {"patches": part})[0] for part in np.array_split(test.patches, 16)])

    found = scores >= read_manifest(FOLDER).output.threshold
    assert roc_auc_score(test.labels, scores) == pytest.approx(reported.test.roc_auc, abs=1e-3)
    assert reported.test.roc_auc >= 0.97
    assert found[test.labels == 1].mean() == pytest.approx(reported.test.sensitivity, abs=0.01)
    assert (1 - found[test.labels == 0].mean()) == pytest.approx(reported.test.specificity, abs=0.01)
