"""Evaluation: metrics.json says what was measured, and of which checkpoints."""

import dataclasses
import json
from pathlib import Path

import pytest
from torch import nn

from cad_node.training.checkpoint import CheckpointError
from cad_node.training.evaluate import evaluate
from cad_node.training.metrics import MetricsError, read_metrics
from tests.training.small_recipe import SMALL

DATA = Path("drawn")


def test_metrics_file_holds_what_evaluate_returned(small_run):
    written = read_metrics(small_run / "metrics.json")

    returned = evaluate(SMALL, small_run, DATA)

    assert returned == written
    assert returned.evaluation.figure("test_accuracy").value > 0.9
    assert len(returned.epochs) == SMALL.members
    assert set(returned.data_sha256) == {"train", "val"}


def test_checkpoint_of_another_recipe_is_refused(small_run):
    with pytest.raises(CheckpointError, match="of small_discs, not of other_model"):
        evaluate(dataclasses.replace(SMALL, name="other_model"), small_run, DATA)


def test_checkpoint_of_another_network_is_refused(small_run):
    with pytest.raises(CheckpointError, match="don't fit the network"):
        evaluate(dataclasses.replace(SMALL, network=lambda: nn.Linear(3, 1)), small_run, DATA)


def test_a_member_that_was_not_trained_is_named(small_run):
    with pytest.raises(CheckpointError, match=r"member-2/best\.pt: no such checkpoint"):
        evaluate(dataclasses.replace(SMALL, members=3), small_run, DATA)


def test_metrics_file_with_a_key_missing_is_a_clear_error(small_run, tmp_path):
    table = json.loads((small_run / "metrics.json").read_text())
    del table["evaluation"]["parameters"]
    (tmp_path / "metrics.json").write_text(json.dumps(table))

    with pytest.raises(MetricsError, match="parameters"):
        read_metrics(tmp_path / "metrics.json")
