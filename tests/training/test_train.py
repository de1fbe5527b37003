import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import Generator

from cad_node.training.augmentation import augment
from cad_node.training.checkpoint import Checkpoint, CheckpointError
from cad_node.training.nodule_network import NoduleNetwork
from cad_node.training.train import PATIENCE_EPOCHS, train
from tests.training.small_run import settle_fast


class StoppingNetwork(NoduleNetwork):
    """Stops the run at its fourth training batch, as Ctrl-C does: in the middle of the second epoch of the small set."""

    batches = 0

    def forward(self, patches):
        self.batches += self.training
        if self.batches == 4:
            raise KeyboardInterrupt
        return super().forward(patches)


def test_training_lowers_the_loss_and_writes_one_line_an_epoch(checkpoint):
    rows = [json.loads(line) for line in (checkpoint.parent / "metrics.jsonl").read_text().splitlines()]

    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]


def test_best_checkpoint_is_that_of_the_best_validation_auc(checkpoint):
    rows = [json.loads(line) for line in (checkpoint.parent / "metrics.jsonl").read_text().splitlines()]
    best = Checkpoint.load(checkpoint)

    assert rows[best.epoch - 1]["validation_auc"] == max(row["validation_auc"] for row in rows)


def test_run_stops_when_the_validation_auc_has_not_risen_for_ten_epochs(checkpoint):
    last = Checkpoint.load(checkpoint.parent / "last.pt")
    aucs = [row["validation_auc"] for row in last.history]

    first_best = aucs.index(max(aucs)) + 1

    assert last.epoch == len(aucs) == min(last.plan.epochs, first_best + PATIENCE_EPOCHS)


def test_run_that_exists_is_not_overwritten_by_a_new_one(recipe, patch_folder, checkpoint):
    with pytest.raises(CheckpointError, match="holds a run already"):
        train(recipe, patch_folder, checkpoint.parent, epochs=12, seed=1)


def test_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(recipe, patch_folder, tmp_path):
    stopping = dataclasses.replace(recipe, network=lambda: settle_fast(StoppingNetwork()))
    train(recipe, patch_folder, tmp_path / "whole", epochs=3, seed=5)

    with pytest.raises(KeyboardInterrupt):
        train(stopping, patch_folder, tmp_path / "stopped", epochs=3, seed=5)
    stopped_at = Checkpoint.load(tmp_path / "stopped" / "last.pt").epoch
    train(recipe, patch_folder, tmp_path / "stopped", epochs=3, seed=5, resume=True)

    assert stopped_at == 1
    whole, resumed = (Checkpoint.load(tmp_path / run / "last.pt") for run in ("whole", "stopped"))
    assert resumed.epoch == whole.epoch == 3
    assert resumed.history == whole.history
    assert all(torch.equal(resumed.network[name], whole.network[name]) for name in whole.network)


def test_run_is_not_resumed_with_another_seed(recipe, patch_folder, checkpoint):
    with pytest.raises(CheckpointError, match="of another run"):
        train(recipe, patch_folder, checkpoint.parent, epochs=12, seed=2, resume=True)


def test_broken_checkpoint_is_a_clear_error(tmp_path):
    (tmp_path / "best.pt").write_bytes(b"PK junk")

    with pytest.raises(CheckpointError, match=r"best\.pt: not a checkpoint"):
        Checkpoint.load(tmp_path / "best.pt")
    with pytest.raises(CheckpointError, match=r"nowhere\.pt: no such checkpoint"):
        Checkpoint.load(tmp_path / "nowhere.pt")


def test_augmentation_keeps_the_nodule_near_the_centre_and_depends_on_the_seed_alone():
    patches = np.full((64, 1, 50, 50), -900, np.float32)
    patches[:, :, 22:28, 22:28] = 50
    patches = torch.from_numpy(patches)

    first = augment(patches, Generator().manual_seed(1))
    again = augment(patches, Generator().manual_seed(1))
    other = augment(patches, Generator().manual_seed(2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    bright = (first > -400).float()[:, 0]
    along = torch.arange(50.0) - 24.5
    rows = (bright.sum(2) * along).sum(1) / bright.sum((1, 2))
    columns = (bright.sum(1) * along).sum(1) / bright.sum((1, 2))
    assert rows.abs().max() < 5.5
    assert columns.abs().max() < 5.5
    assert min(rows.std(), columns.std()) > 1
