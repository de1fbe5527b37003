"""The graph that is shipped: every member looks at each patch and its mirror images; the mean is calibrated and shown."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cad_node.training.detection.network import STRIDE

MIRRORS: tuple[tuple[int, ...], ...] = ((), (1,), (2,), (1, 2))  # a nodule has no preferred side; axes of (batch, row, column)


class Ensemble(nn.Module):
    """Mean "logits" and "terms" of the members over a patch and its three mirror images."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(networks)

    def forward(self, patches: Tensor) -> dict[str, Tensor]:
        looks = [self._look(member, patches, axes) for member in self.members for axes in MIRRORS]
        return {name: torch.stack([look[name] for look in looks]).mean(0) for name in ("logits", "terms")}

    @staticmethod
    def _look(member: nn.Module, patches: Tensor, axes: tuple[int, ...]) -> dict[str, Tensor]:
        if not axes:
            seen: dict[str, Tensor] = member(patches)
            return seen
        mirrored = member(patches.flip([axis + 1 for axis in axes]))
        return {"logits": mirrored["logits"], "terms": mirrored["terms"].flip(axes)}


class ServedEnsemble(nn.Module):
    """Patches (batch, 1, P, P) HU -> scores (batch,) 0..1, activation (batch, P, P).

    activation: what each pixel adds to the calibrated logit; its sum over a patch and the score's logit differ by a constant of the model.
    parameters: "calibration_scale" and "calibration_offset": score = sigmoid(scale · mean logit + offset).
    """

    def __init__(self, networks: Sequence[nn.Module], parameters: Mapping[str, float]) -> None:
        super().__init__()
        self.ensemble = Ensemble(networks)
        self.scale = parameters["calibration_scale"]
        self.offset = parameters["calibration_offset"]

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.ensemble(patches)
        return (seen["logits"] * self.scale + self.offset).sigmoid(), _spread(seen["terms"] * self.scale, patches.shape[-1])


def _spread(terms: Tensor, size_px: int) -> Tensor:
    """(batch, P // 8, P // 8) -> (batch, P, P) of the same sum: bilinear enlargement by a whole number keeps it."""
    enlarged = functional.interpolate(terms[:, None], scale_factor=float(STRIDE), mode="bilinear", align_corners=False)[:, 0]
    rim = size_px % STRIDE // 2
    return functional.pad(enlarged / STRIDE**2, (rim, rim, rim, rim))
