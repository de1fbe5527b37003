"""A training run between two epochs, as one file."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from cad_node.errors import CadNodeError
from cad_node.training.recipe import Recipe


class CheckpointError(CadNodeError):
    """A checkpoint can't be used; the message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run was asked for; a resumed run must be asked for the same."""

    recipe: str
    member: int
    epochs: int
    seed: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """epoch: the last one done, from 1. history: one row of metrics an epoch."""

    plan: Plan
    epoch: int
    network: dict[str, Any]  # torch's state dicts hold tensors and numbers
    optimizer: dict[str, Any]
    history: list[dict[str, float]]
    data_sha256: dict[str, str]

    def save(self, file: Path) -> None:
        """Whole or not at all, so that a run may be stopped at any moment."""
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".tmp")
        torch.save({**{name: getattr(self, name) for name in self.__slots__}, "plan": asdict(self.plan)}, temporary)
        temporary.replace(file)

    @classmethod
    def load(cls, file: Path) -> Self:
        try:
            table = torch.load(file, map_location="cpu", weights_only=True)
            return cls(**{**table, "plan": Plan(**table["plan"])})
        except FileNotFoundError:
            raise CheckpointError(f"{file}: no such checkpoint; `cad-node train` writes one") from None
        except Exception as exc:  # torch.load raises whatever the broken bytes lead it to
            raise CheckpointError(f"{file}: not a checkpoint of this version: {exc}; train again") from exc


def member_folder(run: Path, member: int) -> Path:
    return run / f"member-{member}"


def load_members(recipe: Recipe, run: Path) -> list[Checkpoint]:
    """The best checkpoint of each member. Raises CheckpointError if one is missing or of another recipe."""
    checkpoints = [Checkpoint.load(member_folder(run, member) / "best.pt") for member in range(recipe.members)]
    for checkpoint in checkpoints:
        if checkpoint.plan.recipe != recipe.name:
            raise CheckpointError(f"{run}: of {checkpoint.plan.recipe}, not of {recipe.name}; name the recipe it was trained with")
    if len({(checkpoint.plan.seed, checkpoint.plan.epochs) for checkpoint in checkpoints}) > 1:
        raise CheckpointError(f"{run}: its members were trained with different seeds or epochs; train them again as one run")
    return checkpoints


def restore(recipe: Recipe, checkpoint: Checkpoint) -> nn.Module:
    """The trained network in evaluation mode. Raises CheckpointError if the weights are of another network."""
    network = recipe.network()
    try:
        network.load_state_dict(checkpoint.network)
    except RuntimeError as exc:
        raise CheckpointError(f"the checkpoint's weights don't fit the network of {recipe.name} as it is now: {exc}; train again") from exc
    return network.eval()
