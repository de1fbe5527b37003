"""Train a patch classifier: Adam, binary cross-entropy, stopped early on the validation AUC, resumable after each epoch."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.metrics import roc_auc_score
from torch import Generator, Tensor, nn

from cad_node.training.augmentation import augment
from cad_node.training.checkpoint import Checkpoint, CheckpointError, Plan
from cad_node.training.patch_set import PatchSet, Split
from cad_node.training.recipes import Recipe
from cad_node.training.scoring import score_logits

BATCH = 64
LEARNING_RATE = 1e-3
PATIENCE_EPOCHS = 10


@dataclass(slots=True)
class _Run:
    """A run under way: what changes from epoch to epoch."""

    network: nn.Module
    optimizer: torch.optim.Adam
    epoch: int
    history: list[dict[str, float]]


def train(recipe: Recipe, data: Path, out: Path, *, epochs: int = 30, seed: int = 1, device: str = "cpu", resume: bool = False) -> Path:
    """Train on the training split and return the checkpoint of the epoch with the best validation AUC.

    data: the recipe's training set. out: gets best.pt, last.pt and metrics.jsonl, one line an epoch.
    resume: go on from out/last.pt where there is one, to the weights that an uninterrupted run gives.
    Raises DataError, CheckpointError.
    """
    plan = Plan(recipe.name, epochs, seed)
    training, validation = recipe.read(data, Split.TRAIN), recipe.read(data, Split.VALIDATION)
    data_sha256 = {str(Split.TRAIN): training.sha256, str(Split.VALIDATION): validation.sha256}
    run = _start(recipe, plan, device)
    if resume and (out / "last.pt").exists():
        _resume(run, plan, data_sha256, out / "last.pt")
    with _progress() as progress:
        bar = progress.add_task(
            f"training {recipe.name}", total=epochs * math.ceil(len(training.labels) / BATCH), auc=_best_auc(run.history)
        )
        progress.update(bar, completed=run.epoch * math.ceil(len(training.labels) / BATCH))
        while run.epoch < epochs and not _is_exhausted(run.history):
            loss = _train_epoch(run, plan, training, lambda: progress.advance(bar))
            _record(run, loss, validation)
            progress.update(bar, auc=_best_auc(run.history))
            _save(run, plan, data_sha256, out)
    return out / "best.pt"


def _start(recipe: Recipe, plan: Plan, device: str) -> _Run:
    torch.manual_seed(plan.seed)
    network = recipe.network().to(device)
    return _Run(network, torch.optim.Adam(network.parameters(), lr=LEARNING_RATE), 0, [])


def _resume(run: _Run, plan: Plan, data_sha256: dict[str, str], file: Path) -> None:
    checkpoint = Checkpoint.load(file)
    if (checkpoint.plan, checkpoint.data_sha256) != (plan, data_sha256):
        raise CheckpointError(
            f"{file}: of another run ({checkpoint.plan}); resume with its recipe, epochs, seed and data, or name another folder"
        )
    run.network.load_state_dict(checkpoint.network)
    run.optimizer.load_state_dict(checkpoint.optimizer)
    run.epoch, run.history = checkpoint.epoch, checkpoint.history


def _train_epoch(run: _Run, plan: Plan, training: PatchSet, on_batch: Callable[[], None]) -> float:
    """One pass over the patches; returns the mean loss. Each epoch draws from its own seed, which is what makes a resumed run exact."""
    run.epoch += 1
    epoch_seed = plan.seed * 100_003 + run.epoch
    torch.manual_seed(epoch_seed)  # drop-out
    generator = Generator().manual_seed(epoch_seed)
    patches, labels = torch.from_numpy(training.patches), torch.from_numpy(training.labels)
    device = next(run.network.parameters()).device
    loss_of = nn.BCEWithLogitsLoss(pos_weight=_positive_weight(training).to(device))
    order = torch.randperm(len(labels), generator=generator)
    run.network.train()
    total = 0.0
    for batch, chosen in enumerate(torch.split(order, BATCH)):
        _set_learning_rate(run, plan, batch / math.ceil(len(labels) / BATCH))
        varied = augment(patches[chosen].to(device), generator)
        loss = loss_of(run.network(varied), labels[chosen].to(device))
        run.optimizer.zero_grad()
        loss.backward()
        run.optimizer.step()
        total += float(loss.detach()) * len(chosen)
        on_batch()
    return total / len(labels)


def _positive_weight(training: PatchSet) -> Tensor:
    """A nodule weighs as much as all the other patches that stand against it; calibration takes this out of the scores again."""
    return torch.tensor((len(training.labels) - training.positives) / max(training.positives, 1))


def _set_learning_rate(run: _Run, plan: Plan, share_of_epoch: float) -> None:
    """Falls along a half cosine to nearly nothing at the end of the plan."""
    done = (run.epoch - 1 + share_of_epoch) / plan.epochs
    for group in run.optimizer.param_groups:
        group["lr"] = LEARNING_RATE * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def _record(run: _Run, loss: float, validation: PatchSet) -> None:
    auc = float(roc_auc_score(validation.labels, score_logits(run.network, validation.patches)))
    run.history.append({"epoch": run.epoch, "loss": loss, "validation_auc": auc})


def _save(run: _Run, plan: Plan, data_sha256: dict[str, str], out: Path) -> None:
    checkpoint = Checkpoint(plan, run.epoch, run.network.state_dict(), run.optimizer.state_dict(), run.history, data_sha256)
    if run.history[-1]["validation_auc"] == _best_auc(run.history):
        checkpoint.save(out / "best.pt")
    checkpoint.save(out / "last.pt")
    (out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in run.history), encoding="utf-8")


def _best_auc(history: list[dict[str, float]]) -> float:
    return max((row["validation_auc"] for row in history), default=0.0)


def _is_exhausted(history: list[dict[str, float]]) -> bool:
    """No better validation AUC for PATIENCE_EPOCHS epochs."""
    best = max(history, key=lambda row: row["validation_auc"], default={"epoch": 0})
    return len(history) - best["epoch"] >= PATIENCE_EPOCHS


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("best validation AUC {task.fields[auc]:.4f}"),
    )
