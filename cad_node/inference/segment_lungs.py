"""The lungs on a chest CT: a network says which pixels of a slab are lung, shapes in space say which lung."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cad_node.imaging.lungs import LungMap, Lungs, delineate_lungs
from cad_node.imaging.slabs import Slabs, lay_slabs
from cad_node.imaging.upright import see_upright
from cad_node.imaging.volume import Volume
from cad_node.inference.network import Network

MULTIPLE_PX = 16  # height and width of what the network takes
BATCH = 8


def segment_lungs(volume: Volume, network: Network) -> Lungs:
    """Delineate the lungs. Raises UnusableSeries (anatomy-not-found) if there are none of plausible size.

    network: slices (N, 1, H, W) float32 HU -> "lungs" (N, 1, H, W) 0..1; its parameters say pixel_mm and threshold.
    """
    upright = see_upright(volume)
    slabs = lay_slabs(upright.voxels.shape, upright.spacing_mm, network.parameters["pixel_mm"], MULTIPLE_PX)
    hu, share = np.empty(slabs.shape, np.float32), np.empty(slabs.shape, np.float32)
    for start, batch in _batches(slabs, upright.voxels):
        hu[start : start + len(batch)] = batch
        share[start : start + len(batch)] = network.run(batch[:, None])["lungs"][:, 0]
    return delineate_lungs(volume, upright, LungMap(slabs, hu, share, network.parameters["threshold"]))


def _batches(slabs: Slabs, voxels: NDArray[np.int16]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(first slab, (N, rows, columns) HU)"""
    planes = slabs.planes(voxels)
    for start in range(0, slabs.shape[0], BATCH):
        count = min(BATCH, slabs.shape[0] - start)
        yield start, np.stack([next(planes) for _ in range(count)])
