"""The training loop: what it writes, when it stops, and that a resumed run is the uninterrupted one."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from cad_node.training.checkpoint import Checkpoint, CheckpointError, load_members
from cad_node.training.samples import DataError, Split, check_patients_apart
from cad_node.training.train import train
from tests.training.small_recipe import SMALL, SmallNetwork, read

DATA = Path("drawn")


class StoppingNetwork(SmallNetwork):
    """Stops the run at its tenth training batch, as Ctrl-C does: in the middle of the second epoch."""

    batches = 0

    def forward(self, inputs):
        self.batches += self.training
        if self.batches == 10:
            raise KeyboardInterrupt
        return super().forward(inputs)


def test_training_lowers_the_loss_and_writes_one_line_an_epoch_for_each_member(small_run):
    for member in range(SMALL.members):
        rows = [json.loads(line) for line in (small_run / f"member-{member}" / "history.jsonl").read_text().splitlines()]

        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
        assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]


def test_tensorboard_finds_its_events(small_run):
    assert list((small_run / "member-0").glob("events.out.tfevents.*"))


def test_best_checkpoint_is_that_of_the_best_validation_score(small_run):
    for best in load_members(SMALL, small_run):
        last = Checkpoint.load(small_run / f"member-{best.plan.member}" / "last.pt")

        scores = [row["validation"] for row in last.history]

        assert scores[best.epoch - 1] == max(scores)


def test_run_stops_when_validation_has_not_gained_for_the_recipe_s_patience(small_run):
    last = Checkpoint.load(small_run / "member-0" / "last.pt")
    scores = [row["validation"] for row in last.history]

    first_best = scores.index(max(scores)) + 1

    assert last.epoch == len(scores) == min(last.plan.epochs, first_best + SMALL.patience)


def test_members_begin_from_different_weights(small_run):
    first, second = load_members(SMALL, small_run)

    assert not torch.equal(first.network["features.0.weight"], second.network["features.0.weight"])


def test_run_that_exists_is_not_overwritten_by_a_new_one(small_run):
    with pytest.raises(CheckpointError, match="holds a run already"):
        train(SMALL, DATA, small_run)


def test_one_member_can_be_trained_by_itself(tmp_path):
    train(SMALL, DATA, tmp_path, members=[1], epochs=1)

    assert [path.name for path in tmp_path.iterdir()] == ["member-1"]


def test_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path):
    stopping = dataclasses.replace(SMALL, network=StoppingNetwork)
    train(SMALL, DATA, tmp_path / "whole", members=[0], epochs=3, seed=5)

    with pytest.raises(KeyboardInterrupt):
        train(stopping, DATA, tmp_path / "stopped", members=[0], epochs=3, seed=5)
    stopped_at = Checkpoint.load(tmp_path / "stopped" / "member-0" / "last.pt").epoch
    train(SMALL, DATA, tmp_path / "stopped", members=[0], epochs=3, seed=5, resume=True)

    assert stopped_at == 1
    whole, resumed = (Checkpoint.load(tmp_path / run / "member-0" / "last.pt") for run in ("whole", "stopped"))
    assert resumed.history == whole.history
    assert all(torch.equal(resumed.network[name], whole.network[name]) for name in whole.network)


@pytest.mark.parametrize("change", [{"seed": 2}, {"data": Path("other")}], ids=["another seed", "other data"])
def test_run_is_not_resumed_with_another_seed_or_other_data(small_run, change):
    asked = {"data": DATA, "seed": 1, **change}

    with pytest.raises(CheckpointError, match="of another run"):
        train(SMALL, out=small_run, resume=True, **asked)


def test_broken_checkpoint_is_a_clear_error(tmp_path):
    (tmp_path / "best.pt").write_bytes(b"PK junk")

    with pytest.raises(CheckpointError, match=r"best\.pt: not a checkpoint"):
        Checkpoint.load(tmp_path / "best.pt")
    with pytest.raises(CheckpointError, match=r"nowhere\.pt: no such checkpoint"):
        Checkpoint.load(tmp_path / "nowhere.pt")


def test_a_patient_in_two_splits_stops_the_training(tmp_path):
    training = read(DATA, Split.TRAIN, 0)
    leaking = dataclasses.replace(read(DATA, Split.VALIDATION, 0), patients=(training.patients[0],) * 24)
    recipe = dataclasses.replace(SMALL, read=lambda data, split, member: training if split is Split.TRAIN else leaking)

    with pytest.raises(DataError, match="split by patient"):
        train(recipe, DATA, tmp_path)
    with pytest.raises(DataError, match="split by patient"):
        check_patients_apart({Split.TRAIN: training, Split.VALIDATION: leaking})
