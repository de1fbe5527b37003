"""Train a patch classifier: Adam, binary cross-entropy, stopped early on the validation AUC, resumable after each epoch."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.metrics import roc_auc_score
from torch import nn

from cad_node.training.checkpoint import Checkpoint, CheckpointError, Plan
from cad_node.training.epoch import LEARNING_RATE, batches_in, cosine_schedule, train_epoch
from cad_node.training.patch_set import PatchSet, Split
from cad_node.training.recipes import Recipe
from cad_node.training.scoring import score_logits

PATIENCE_EPOCHS = 10


@dataclass(frozen=True, slots=True)
class _Run:
    """A run under way; the network, the optimiser and the history (one row an epoch) are what changes."""

    plan: Plan
    data_sha256: dict[str, str]
    network: nn.Module
    optimizer: torch.optim.Adam
    history: list[dict[str, float]]

    @property
    def best_auc(self) -> float:
        return max((row["validation_auc"] for row in self.history), default=0.0)

    @property
    def is_over(self) -> bool:
        """All epochs are done, or the validation AUC hasn't risen for PATIENCE_EPOCHS."""
        best = max(self.history, key=lambda row: row["validation_auc"], default={"epoch": 0})
        return len(self.history) >= min(self.plan.epochs, best["epoch"] + PATIENCE_EPOCHS)


def train(recipe: Recipe, data: Path, out: Path, *, epochs: int = 30, seed: int = 1, device: str = "cpu", resume: bool = False) -> Path:
    """Train on the training split and return the checkpoint of the epoch with the best validation AUC.

    data: the recipe's training set. out: gets best.pt, last.pt and metrics.jsonl, one line an epoch.
    resume: go on from out/last.pt where there is one, to the weights that an uninterrupted run gives.
    Raises DataError, CheckpointError.
    """
    if not resume and (out / "last.pt").exists():
        raise CheckpointError(f"{out}: holds a run already; resume it or name another folder")
    training, validation = recipe.read(data, Split.TRAIN), recipe.read(data, Split.VALIDATION)
    data_sha256 = {str(Split.TRAIN): training.sha256, str(Split.VALIDATION): validation.sha256}
    run = _start(recipe, Plan(recipe.name, epochs, seed), data_sha256, device)
    if (out / "last.pt").exists():
        _take_up(run, out / "last.pt")
    with _progress() as progress:
        done, total = (count * batches_in(training) for count in (len(run.history), epochs))
        bar = progress.add_task(f"training {recipe.name}", completed=done, total=total, auc=run.best_auc)
        while not run.is_over:
            _advance(run, training, validation, on_batch=lambda: progress.advance(bar))
            _save(run, out)
            progress.update(bar, auc=run.best_auc)
    return out / "best.pt"


def _start(recipe: Recipe, plan: Plan, data_sha256: dict[str, str], device: str) -> _Run:
    torch.manual_seed(plan.seed)
    network = recipe.network().to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs leave it out; a fifth faster on a CPU
    return _Run(plan, data_sha256, network, torch.optim.Adam(network.parameters(), lr=LEARNING_RATE), [])


def _take_up(run: _Run, file: Path) -> None:
    checkpoint = Checkpoint.load(file)
    if (checkpoint.plan, checkpoint.data_sha256) != (run.plan, run.data_sha256):
        why = f"of another run ({checkpoint.plan}); resume with its recipe, epochs, seed and data, or name another folder"
        raise CheckpointError(f"{file}: {why}")
    run.network.load_state_dict(checkpoint.network)
    run.optimizer.load_state_dict(checkpoint.optimizer)
    run.history.extend(checkpoint.history)


def _advance(run: _Run, training: PatchSet, validation: PatchSet, on_batch: Callable[[], None]) -> None:
    """One epoch and its row of history."""
    epoch = len(run.history) + 1
    epoch_seed = run.plan.seed * 100_003 + epoch
    schedule = cosine_schedule(epoch, run.plan.epochs)
    loss = train_epoch(run.network, run.optimizer, training, seed=epoch_seed, schedule=schedule, on_batch=on_batch)
    auc = float(roc_auc_score(validation.labels, score_logits(run.network, validation.patches)))
    run.history.append({"epoch": epoch, "loss": loss, "validation_auc": auc})


def _save(run: _Run, out: Path) -> None:
    checkpoint = Checkpoint(run.plan, len(run.history), run.network.state_dict(), run.optimizer.state_dict(), run.history, run.data_sha256)
    if run.history[-1]["validation_auc"] == run.best_auc:
        checkpoint.save(out / "best.pt")
    checkpoint.save(out / "last.pt")
    (out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in run.history), encoding="utf-8")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("best validation AUC {task.fields[auc]:.4f}"),
    )
