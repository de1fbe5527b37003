"""Where a nodule begins and ends: the outline network says which voxels belong to it, half the contrast where its border runs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.findings import Region
from cad_node.imaging.candidates import Candidate
from cad_node.imaging.nodule_slabs import OUTLINE_PX, cut_outline_slabs, planes_on_source
from cad_node.imaging.nodules import region_of, settle_border
from cad_node.imaging.shapes import Mask, Spacing, part_at
from cad_node.imaging.volume import Volume
from cad_node.inference.network import Network

FITTING = 0.45  # of the slab's width: a candidate thought larger is looked at in coarser pixels
COARSER = 1.6  # how much coarser the next look is when the nodule reaches the rim of what is seen
LOOKS = 5  # at most
RIM_PX = 2
MARGIN_MM = 5.0  # above and below a candidate
NEAR_MM = 4.0  # how far from a small candidate's centre the nodule may begin
CENTRED_PX = 3.0  # nodules no further from the middle need no second look
IN_LUNGS = 0.3  # least share of a nodule that lies in the lungs
OUTSIDE_MM = 3.0  # how far outside the lungs a nodule may reach: further on a tumour at the hilum would run into the mediastinum
BATCH = 32


@dataclass(frozen=True, slots=True)
class _View:
    """What is looked at: around (slice, row, column), `step` source pixels for each pixel, so far up and down."""

    centre: tuple[float, float, float]
    step: float
    reach_mm: float

    @property
    def middle(self) -> tuple[float, float]:
        """(row, column) between four pixels, so that pixels which keep their size keep their values."""
        return float(np.floor(self.centre[1])) + 0.5, float(np.floor(self.centre[2])) + 0.5


def outline_nodule(volume: Volume, lungs: Mask, candidate: Candidate, network: Network) -> Region | None:
    """The nodule at a candidate, or None where the network sees none there or it lies outside the lungs.

    lungs: the volume's shape, with nodules at the pleura inside.
    network: slabs (N, 3, 64, 64) HU -> "nodule" (N, 1, 64, 64) 0..1; its parameter "threshold".
    """
    view = _View(candidate.index, _step(volume, candidate), candidate.diameter_mm / 2 + MARGIN_MM)
    near_mm = max(candidate.diameter_mm / 2, NEAR_MM)
    region = _look(volume, lungs, view, near_mm, network)
    for _ in range(LOOKS - 1):
        better = _better_view(volume, view, region) if region else None
        if better is None:
            break
        view, region = better, _look(volume, lungs, better, near_mm, network) or region
    settled = settle_border(volume, region) if region else None
    return settled if settled and lungs[settled.slices][settled.mask].mean() >= IN_LUNGS else None


def _step(volume: Volume, candidate: Candidate) -> float:
    return max(1.0, candidate.diameter_mm / volume.spacing_mm[1] / (FITTING * OUTLINE_PX))


def _look(volume: Volume, lungs: Mask, view: _View, near_mm: float, network: Network) -> Region | None:
    """The connected part nearest to the view's centre, no further than near_mm, of what the network takes for nodule in the lungs."""
    z, middle = view.centre[0], view.middle
    reach = int(np.ceil(view.reach_mm / volume.spacing_mm[0]))
    indices = np.arange(max(0, round(z) - reach), min(len(volume.voxels), round(z) + reach + 1))
    slabs = cut_outline_slabs(volume.voxels, indices, middle, view.step)
    shares = np.concatenate([network.run(slabs[start : start + BATCH])["nodule"][:, 0] for start in range(0, len(slabs), BATCH)])
    origin, shares = planes_on_source(shares, middle, (view.step, view.step), volume.voxels.shape)
    mask = (shares >= network.parameters["threshold"]) & _reachable(lungs, (int(indices[0]), *origin), shares.shape, volume.spacing_mm)
    seed = _nearest(mask, np.subtract(view.centre, (indices[0], *origin)), volume.spacing_mm, near_mm)
    return region_of(part_at(mask, seed), (int(indices[0]), *origin)) if seed else None


def _reachable(lungs: Mask, origin: tuple[int, int, int], shape: tuple[int, ...], spacing_mm: Spacing) -> Mask:
    """The lungs in a box of the volume, and a little more within each slice."""
    z, y, x = (slice(first, first + length) for first, length in zip(origin, shape, strict=True))
    away_px = [ndimage.distance_transform_edt(~plane) if plane.any() else np.full(plane.shape, np.inf) for plane in lungs[z, y, x]]
    return np.asarray(np.stack(away_px) * spacing_mm[1] <= OUTSIDE_MM)


def _nearest(mask: Mask, centre: NDArray[np.float64], spacing_mm: Spacing, near_mm: float) -> tuple[int, int, int] | None:
    """The mask's voxel nearest to the centre, if one is near."""
    at = np.argwhere(mask)
    away_mm = np.linalg.norm((at - centre) * spacing_mm, axis=1)
    if not len(at) or away_mm.min() > near_mm:
        return None
    z, y, x = (int(index) for index in at[np.argmin(away_mm)])
    return z, y, x


def _better_view(volume: Volume, view: _View, region: Region) -> _View | None:
    """Further and coarser where the region reaches the rim of what was seen, centred where it lies aside; None where neither is so."""
    low, high = np.array(region.origin), np.add(region.origin, region.mask.shape) - 1
    half = np.array([view.reach_mm / volume.spacing_mm[0] - 1, *[view.step * (OUTLINE_PX / 2 - RIM_PX)] * 2])
    cut = ((low <= view.centre - half) & (low > 0)) | ((high >= view.centre + half) & (high < np.array(volume.voxels.shape) - 1))
    centre = (low + high) / 2
    aside = np.abs(centre - view.centre)[1:].max() > CENTRED_PX * view.step
    if not cut.any() and not aside:
        return None
    z, y, x = (float(value) for value in centre)
    return _View((z, y, x), view.step * (COARSER if cut[1:].any() else 1), view.reach_mm * (COARSER if cut[0] else 1))
