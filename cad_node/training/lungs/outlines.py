"""The lungs of one patient as a network, and as the whole way of the serving side, outlines them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from torch import nn

from cad_node.errors import UnusableSeries
from cad_node.imaging.lungs import Lungs
from cad_node.imaging.shapes import Mask, largest_parts
from cad_node.imaging.volume import Volume
from cad_node.inference.segment_lungs import segment_lungs
from cad_node.training.evaluation.dice import dice
from cad_node.training.lungs.lctsc_masks import SPACING_MM, Case
from cad_node.training.recipe import predict

PARAMETERS = {"threshold": 0.5, "pixel_mm": SPACING_MM[2]}  # fixed before anything was measured
BATCH = 32
SMALLER_LUNG = 0.2  # of the larger: two parts of the truth that are both lungs


@dataclass(frozen=True, slots=True)
class Outlines:
    """One patient. by_network, served: bool of the case's shape; lungs: None where the serving side refused the scan."""

    case: Case
    by_network: Mask
    served: Mask
    lungs: Lungs | None

    @property
    def dice_of_sides(self) -> tuple[float, float] | None:
        """Left and right lung as served; None where the truth's lungs touch, so that it doesn't say which is which."""
        parts = largest_parts(self.case.lungs, 2)
        if len(parts) < 2 or parts[1].sum() < SMALLER_LUNG * parts[0].sum():
            return None
        left, right = sorted(parts, key=lambda part: -float(np.nonzero(part)[2].mean()))
        pairs = ((left, self.lungs and self.lungs.left), (right, self.lungs and self.lungs.right))
        of_left, of_right = (dice(Lungs(region or None, None).mask(truth.shape), truth) for truth, region in pairs)
        return of_left, of_right


def outline(network: nn.Module, case: Case) -> Outlines:
    lungs, served = outline_as_served(network, case.voxels)
    return Outlines(case, outline_slices(network, case.voxels[:, None])[:, 0], served, lungs)


def outline_as_served(network: nn.Module, voxels: NDArray[np.int16], apart_mm: float = SPACING_MM[0]) -> tuple[Lungs | None, Mask]:
    """None and an empty mask where the scan is refused. apart_mm: between two slices."""
    try:
        lungs = segment_lungs(as_volume(voxels, apart_mm), _Serving(network))
    except UnusableSeries:
        return None, np.zeros(voxels.shape, np.bool_)
    return lungs, lungs.mask(voxels.shape)


def as_volume(voxels: NDArray[np.int16], apart_mm: float = SPACING_MM[0]) -> Volume:
    """As the serving side reads a series. apart_mm: between two slices."""
    _, y, x = SPACING_MM
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack(([0, 0, apart_mm], [0, y, 0], [x, 0, 0]))
    source = Dataset()
    source.SeriesInstanceUID = "2.25.1"
    return Volume(voxels, affine, (source,) * len(voxels))


def outline_slices(network: nn.Module, slices: NDArray[Any]) -> Mask:
    """(N, 1, H, W) HU -> bool of the same shape."""
    threshold = PARAMETERS["threshold"]
    return np.asarray(predict(network, slices, BATCH)["lungs"] >= np.log(threshold / (1 - threshold)))


@dataclass(frozen=True, slots=True)
class _Serving:
    """A network in training as the serving side takes one."""

    network: nn.Module

    @property
    def parameters(self) -> dict[str, float]:
        return PARAMETERS

    def run(self, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return {name: torch.from_numpy(logits).sigmoid().numpy() for name, logits in predict(self.network, inputs, BATCH).items()}
