"""Train the members of a recipe: AdamW on a falling cosine, stopped early on validation, resumable after each epoch."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from cad_node.training.checkpoint import Checkpoint, CheckpointError, Plan, member_folder
from cad_node.training.epoch import batches_in, cosine_schedule, train_epoch
from cad_node.training.recipe import Recipe, predict
from cad_node.training.samples import Samples, Split, check_patients_apart

WEIGHT_DECAY = 1e-4


@dataclass(frozen=True, slots=True)
class _Run:
    """A member under way; the network, the optimiser and the history (one row an epoch) are what changes."""

    recipe: Recipe
    plan: Plan
    training: Samples
    validation: Samples
    network: nn.Module
    optimizer: torch.optim.Optimizer
    history: list[dict[str, float]]

    @property
    def data_sha256(self) -> dict[str, str]:
        return {str(Split.TRAIN): self.training.sha256, str(Split.VALIDATION): self.validation.sha256}

    @property
    def best(self) -> float:
        return max((row["validation"] for row in self.history), default=0.0)

    @property
    def is_over(self) -> bool:
        """All epochs are done, or validation hasn't gained for the recipe's patience."""
        best = max(self.history, key=lambda row: row["validation"], default={"epoch": 0})
        return len(self.history) >= min(self.plan.epochs, best["epoch"] + self.recipe.patience)


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    members: Sequence[int] = (),
    epochs: int = 0,
    seed: int = 1,
    device: str = "cpu",
    resume: bool = False,
) -> Path:
    """Train the members named, or all, and return `out`: member-N/{best,last}.pt, history.jsonl and TensorBoard events.

    epochs: at most so many; 0 takes the recipe's. seed: of every random choice.
    resume: go on from each member's last.pt where there is one, to the weights that an uninterrupted run gives.
    Raises DataError, CheckpointError.
    """
    for member in members or range(recipe.members):
        _train_member(
            recipe, data, member_folder(out, member), Plan(recipe.name, member, epochs or recipe.epochs, seed), device=device, resume=resume
        )
    return out


def _train_member(recipe: Recipe, data: Path, folder: Path, plan: Plan, *, device: str, resume: bool) -> None:
    if not resume and (folder / "last.pt").exists():
        raise CheckpointError(f"{folder}: holds a run already; resume it or name another folder")
    run = _start(recipe, plan, data, device)
    if (folder / "last.pt").exists():
        _take_up(run, folder / "last.pt")
    title = f"training {recipe.name}, member {plan.member + 1} of {recipe.members}"
    with _progress() as progress, SummaryWriter(str(folder), purge_step=len(run.history) + 1) as board:
        done, total = (count * batches_in(run.training, recipe.batch) for count in (len(run.history), plan.epochs))
        bar = progress.add_task(title, completed=done, total=total, best=run.best)
        while not run.is_over:
            row = _advance(run, on_batch=lambda: progress.advance(bar))
            _save(run, folder)
            for name in ("loss", "validation"):
                board.add_scalar(name, row[name], int(row["epoch"]))
            progress.update(bar, best=run.best)


def _start(recipe: Recipe, plan: Plan, data: Path, device: str) -> _Run:
    training, validation = (recipe.read(data, split, plan.member) for split in (Split.TRAIN, Split.VALIDATION))
    check_patients_apart({Split.TRAIN: training, Split.VALIDATION: validation})
    torch.manual_seed(plan.seed * 1009 + plan.member)
    network = recipe.network().to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs leave it out; a fifth faster on a CPU
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=WEIGHT_DECAY)
    return _Run(recipe, plan, training, validation, network, optimizer, [])


def _take_up(run: _Run, file: Path) -> None:
    checkpoint = Checkpoint.load(file)
    if (checkpoint.plan, checkpoint.data_sha256) != (run.plan, run.data_sha256):
        why = f"of another run ({checkpoint.plan}); resume with its recipe, epochs, seed and data, or name another folder"
        raise CheckpointError(f"{file}: {why}")
    run.network.load_state_dict(checkpoint.network)
    run.optimizer.load_state_dict(checkpoint.optimizer)
    run.history.extend(checkpoint.history)


def _advance(run: _Run, on_batch: Callable[[], None]) -> dict[str, float]:
    """One epoch and its row of history."""
    epoch = len(run.history) + 1
    epoch_seed = (run.plan.seed * 1009 + run.plan.member) * 10_007 + epoch
    schedule = cosine_schedule(run.recipe.learning_rate, epoch, run.plan.epochs)
    loss = train_epoch(run.recipe, run.network, run.optimizer, run.training, seed=epoch_seed, schedule=schedule, on_batch=on_batch)
    score = run.recipe.score(predict(run.network, run.validation.inputs), run.validation)
    run.history.append({"epoch": epoch, "loss": loss, "validation": score})
    return run.history[-1]


def _save(run: _Run, folder: Path) -> None:
    weights, optimizer = run.network.state_dict(), run.optimizer.state_dict()
    checkpoint = Checkpoint(run.plan, len(run.history), weights, optimizer, run.history, run.data_sha256)
    if run.history[-1]["validation"] == run.best:
        checkpoint.save(folder / "best.pt")
    checkpoint.save(folder / "last.pt")
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in run.history), encoding="utf-8")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("best validation score {task.fields[best]:.4f}"),
    )
