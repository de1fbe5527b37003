import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from torch import nn

from cad_node.training.calibration import fit_calibration
from cad_node.training.checkpoint import Checkpoint, CheckpointError, restore_network
from cad_node.training.evaluate import evaluate
from cad_node.training.luna_patches import read_split
from cad_node.training.metrics import MetricsError, choose_threshold, measure, read_metrics
from cad_node.training.patch_set import Split
from cad_node.training.scoring import score_logits


@pytest.fixture
def scored():
    """Labels and overlapping scores of 300 patches."""
    random = np.random.default_rng(8)
    labels = (np.arange(300) % 5 == 0).astype(np.float32)
    return labels, 1 / (1 + np.exp(-(random.normal(0, 1, 300) + 2 * labels - 2)))


def test_area_is_scikit_learns_and_lies_in_its_interval(scored):
    labels, scores = scored

    measured = measure(labels, scores, 0.3, "")

    low, high = measured.roc_auc_ci95
    assert measured.roc_auc == pytest.approx(roc_auc_score(labels, scores))
    assert low < measured.roc_auc < high
    assert 0.01 < high - low < 0.2


def test_threshold_finds_nine_of_ten_positives_and_no_higher_one_does(scored):
    labels, scores = scored

    threshold = choose_threshold(labels, scores)

    measured = measure(labels, scores, threshold, "")
    higher = min(score for score in scores if score > threshold)
    assert measured.sensitivity >= 0.9
    assert measure(labels, scores, higher + 1e-9, "").sensitivity < 0.9
    assert measured.specificity == pytest.approx((scores[labels == 0] < threshold).mean())


def test_calibration_error_is_small_for_true_probabilities_and_large_for_boastful_ones():
    random = np.random.default_rng(2)
    scores = random.uniform(0, 1, 4_000)
    labels = (random.uniform(0, 1, 4_000) < scores).astype(np.float32)

    honest, boastful = measure(labels, scores, 0.5, ""), measure(labels, scores**0.2, 0.5, "")

    assert honest.ece < 0.03
    assert boastful.ece > 0.2


def test_platt_scaling_brings_overconfident_logits_back():
    random = np.random.default_rng(4)
    true_logits = random.normal(-1, 2, 20_000)
    labels = (random.uniform(0, 1, 20_000) < 1 / (1 + np.exp(-true_logits))).astype(np.float32)

    fitted = fit_calibration((3 * true_logits + 1).astype(np.float32), labels)

    assert fitted.scale == pytest.approx(1 / 3, rel=0.05)
    assert fitted.offset == pytest.approx(-1 / 3, abs=0.1)


def test_metrics_file_holds_what_evaluate_returned_and_what_the_network_scores(recipe, checkpoint, patch_folder):
    written = read_metrics(checkpoint.parent / "metrics.json")

    returned = evaluate(recipe, checkpoint, patch_folder)

    test = read_split(patch_folder, Split.TEST)
    logits = score_logits(restore_network(recipe, Checkpoint.load(checkpoint)), test.patches)
    assert returned == written
    assert written.test.roc_auc == pytest.approx(roc_auc_score(test.labels, logits))
    assert (written.test.patches, written.test.positives) == (24, 8)


def test_checkpoint_of_another_recipe_is_refused(recipe, checkpoint, patch_folder):
    other = dataclasses.replace(recipe, name="other_model")

    with pytest.raises(CheckpointError, match="of lung_nodule_ct, not of other_model"):
        evaluate(other, checkpoint, patch_folder)


def test_checkpoint_of_another_network_is_refused(recipe, checkpoint, patch_folder):
    other = dataclasses.replace(recipe, network=lambda: nn.Linear(3, 1))

    with pytest.raises(CheckpointError, match="don't fit the network"):
        evaluate(other, checkpoint, patch_folder)


def test_metrics_file_with_a_key_missing_is_a_clear_error(checkpoint, tmp_path):
    table = json.loads((checkpoint.parent / "metrics.json").read_text())
    del table["threshold"]
    (tmp_path / "metrics.json").write_text(json.dumps(table))

    with pytest.raises(MetricsError, match="threshold"):
        read_metrics(tmp_path / "metrics.json")
