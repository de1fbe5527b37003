"""The graphs that are shipped."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cad_node.training.nodules.judgement_folds import ENSEMBLE

MIRRORS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))  # a nodule has no preferred side; axes of (batch, slice, row, column)
HALF_TURNS: tuple[tuple[int, ...], ...] = ((), (2, 3))
UNCALIBRATED = {"calibration_scale": 1.0, "calibration_offset": 0.0}
JUDGEMENT_OUTPUTS = ("malignancy", "spread", "texture", "spiculation", "calcification", "activation")


class ServedOutline(nn.Module):
    """Slabs (batch, 3, 64, 64) HU -> "nodule" (batch, 1, 64, 64) 0..1, the mean over the slab and its half turn."""

    def __init__(self, networks: Sequence[nn.Module], _: Mapping[str, float]) -> None:
        super().__init__()
        (self.network,) = networks

    def forward(self, slabs: Tensor) -> tuple[Tensor]:
        looks = [self.network(slabs.flip(axes))["nodule"].flip(axes) for axes in HALF_TURNS]
        return (torch.stack(looks).mean(0).sigmoid(),)


class ServedJudgement(nn.Module):
    """Slabs (batch, 3, 48, 48) HU -> malignancy, spread, texture, spiculation, calcification (batch,), activation (batch, 48, 48).

    networks: the ensemble, and perhaps those of the folds behind it, which aren't served.
    malignancy: mean of the members' calibrated scores, 0..1; spread: their standard deviation. texture, spiculation: 1..5, as readers rate.
    activation: the evidence at each place; its mean is the members' mean logit, before calibration.
    parameters: "calibration_scale" and "calibration_offset": a member's score = sigmoid(scale · logit + offset).
    """

    def __init__(self, networks: Sequence[nn.Module], parameters: Mapping[str, float]) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks[:ENSEMBLE])
        self.scale, self.offset = parameters["calibration_scale"], parameters["calibration_offset"]

    def forward(self, slabs: Tensor) -> tuple[Tensor, ...]:
        seen = [self._look(member, slabs) for member in self.members]
        logits = torch.stack([look["malignancy"] for look in seen])
        scores = (logits * self.scale + self.offset).sigmoid()
        texture, spiculation, calcification = (
            torch.stack([look[name].sigmoid() for look in seen]).mean(0) for name in ("texture", "spiculation", "calcification")
        )
        evidence = torch.stack([look["activation"] for look in seen]).mean(0)[:, None]
        activation = functional.interpolate(evidence, size=slabs.shape[2:], mode="bilinear", align_corners=False)[:, 0]
        return scores.mean(0), scores.std(0, correction=0), 1 + 4 * texture, 1 + 4 * spiculation, calcification, activation

    @staticmethod
    def _look(member: nn.Module, slabs: Tensor) -> dict[str, Tensor]:
        """Raw outputs, the mean over the slab and its mirror images."""
        looks = []
        for axes in MIRRORS:
            look = dict(member(slabs.flip(axes)))
            look["activation"] = look["activation"].flip([axis - 1 for axis in axes])
            looks.append(look)
        return {name: torch.stack([look[name] for look in looks]).mean(0) for name in looks[0]}


def run_served(served: nn.Module, outputs: Sequence[str], inputs: NDArray[Any], batch: int = 128) -> dict[str, NDArray[np.float32]]:
    """What the shipped graph gives, by name, over all inputs."""
    served.eval()
    with torch.inference_mode():
        starts = range(0, len(inputs), batch)
        parts = [served(torch.from_numpy(np.asarray(inputs[start : start + batch], np.float32))) for start in starts]
    return {name: torch.cat([part[index] for part in parts]).numpy() for index, name in enumerate(outputs)}
