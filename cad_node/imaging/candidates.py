"""Where in the lungs a nodule might be: bright blobs at several scales, tubes damped. Sensitive first; a network sorts them out."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.imaging.lungs import Lungs
from cad_node.imaging.volume import Volume
from cad_node.manifest import Range

GRID_MM = 1.25  # voxel edge of the search grid, at least
LUNG_HU = -850.0  # what stands outside the lungs on the search grid, so that the chest wall is no edge
BRIGHTEST_HU = 200.0  # calcifications and contrast don't outshine nodules
SCALE_STEP = 1.35  # of neighbouring scales
CONTRAST_HU = 25.0  # weakest blob that counts
SMOOTH_VOXELS = 2.5  # sigma in voxels from which every other voxel tells as much
DIAMETER_PER_SIGMA = 2 * np.sqrt(3.0)  # of the ball to which a Gaussian's Laplacian answers most


@dataclass(frozen=True, slots=True)
class Candidate:
    index: tuple[float, float, float]  # (slice, row, column) in the volume
    diameter_mm: float  # rough: from the scale at which it stands out most
    strength: float  # for ranking only


def find_candidates(volume: Volume, lungs: Lungs, diameter_mm: Range, limit: int) -> tuple[Candidate, ...]:
    """At most `limit` blobs of the given diameters inside the lungs, strongest first, none inside a stronger one."""
    found = [candidate for region in lungs.regions for candidate in _in_lung(volume, region.slices, region.mask, diameter_mm)]
    return tuple(_strongest(found, volume.spacing_mm, limit))


def _in_lung(volume: Volume, box: tuple[slice, slice, slice], mask: NDArray[np.bool_], diameter_mm: Range) -> Iterator[Candidate]:
    spacing = np.array(volume.spacing_mm)
    zoom = spacing / np.maximum(spacing, GRID_MM)
    hu = np.where(mask, np.clip(volume.voxels[box], None, BRIGHTEST_HU), LUNG_HU).astype(np.float32)
    grid = ndimage.zoom(ndimage.gaussian_filter(hu, 0.4 * (1 / zoom - 1)), zoom, order=1, grid_mode=True, mode="nearest")
    inside = ndimage.zoom(mask.view(np.uint8), zoom, order=0, grid_mode=True, mode="nearest").astype(np.bool_)
    origin, step = np.array([part.start for part in box]), np.divide(mask.shape, grid.shape)  # 1 / zoom, but for whole voxels
    for index, sigma_mm, strength in _blobs(grid, inside, spacing * step, diameter_mm):
        z, y, x = (float(v) for v in origin + (index + 0.5) * step - 0.5)
        yield Candidate((z, y, x), float(sigma_mm * DIAMETER_PER_SIGMA), strength)


def _blobs(
    grid: NDArray[np.float32], inside: NDArray[np.bool_], spacing_mm: NDArray[np.float64], diameter_mm: Range
) -> Iterator[tuple[NDArray[np.float64], float, float]]:
    """(index, sigma, strength) of the local maxima of each scale. What is smoothed enough is looked at on every other voxel only."""
    steps = int(np.ceil(np.log(diameter_mm.max / diameter_mm.min) / np.log(SCALE_STEP)))
    sigmas = [diameter_mm.min / DIAMETER_PER_SIGMA * SCALE_STEP**step for step in range(steps + 1)]
    smoothed = ndimage.gaussian_filter(grid, sigmas[0] / spacing_mm, truncate=3)
    stride = np.ones(3, np.intp)
    for sigma_mm in sigmas[:-1]:
        thin = np.where(sigma_mm >= SMOOTH_VOXELS * spacing_mm * stride, 2, 1)
        every = tuple(slice(None, None, int(step)) for step in thin)
        smoothed, inside = smoothed[every], inside[every]
        stride *= thin
        extra = sigma_mm * np.sqrt(SCALE_STEP**2 - 1)  # Gaussians add in quadrature
        smoother = ndimage.gaussian_filter(smoothed, extra / (spacing_mm * stride), truncate=3)
        contrast = (smoothed - smoother) / (SCALE_STEP - 1)  # about -sigma^2 times the Laplacian, in HU
        peaks = inside & (contrast > CONTRAST_HU)
        peaks &= contrast >= ndimage.maximum_filter(contrast, size=3)
        at = np.argwhere(peaks)
        roundness = _roundness(smoothed, at, sigma_mm, spacing_mm * stride)
        for index, value, round_ in zip(at + _between_voxels(contrast, at), contrast[peaks], roundness, strict=True):
            yield index * stride, sigma_mm, _strength(value, round_, sigma_mm)
        smoothed = smoother


def _between_voxels(contrast: NDArray[np.float32], at: NDArray[np.intp]) -> NDArray[np.float64]:
    """(N, 3) -0.5..0.5: where the parabola through each peak and its two neighbours along an axis has its top."""
    offsets = np.zeros(at.shape)
    for axis, step in enumerate(np.eye(3, dtype=np.intp)):
        last = np.array(contrast.shape) - 1
        before, peak, after = (contrast[tuple(np.clip(at + shift, 0, last).T)] for shift in (-step, 0 * step, step))
        offsets[:, axis] = (before - after) / 2 / np.minimum(before - 2 * peak + after, -1e-6)
    return np.clip(offsets, -0.5, 0.5)


def _strength(contrast_hu: float, roundness: float, sigma_mm: float) -> float:
    """Roundness counts most: what is only bright is a vessel, and ground glass is never bright. By benchmarks/candidates.py."""
    return float(roundness * np.sqrt(contrast_hu * sigma_mm))


def _roundness(
    smoothed: NDArray[np.float32], at: NDArray[np.intp], sigma_mm: float, spacing_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Least over greatest curvature at the points: 1 for a ball, 0 for a tube or a sheet."""
    if not len(at):
        return np.zeros(0)
    step = np.eye(3) * (sigma_mm / spacing_mm)  # one sigma along each axis, in voxels
    hessian = np.empty((len(at), 3, 3))
    for i in range(3):
        for j in range(i, 3):
            corners = [(step[i] + step[j], 1), (step[i] - step[j], -1), (step[j] - step[i], -1), (-step[i] - step[j], 1)]
            hessian[:, i, j] = hessian[:, j, i] = sum(
                sign * ndimage.map_coordinates(smoothed, (at + offset).T, order=1, mode="nearest") for offset, sign in corners
            )
    curvature = np.linalg.eigvalsh(hessian)  # ascending; of a bright ball all are negative
    return np.asarray(np.clip(curvature[:, 2] / np.minimum(curvature[:, 0], -1e-6), 0.0, 1.0))


def _strongest(found: list[Candidate], spacing_mm: tuple[float, float, float], limit: int) -> list[Candidate]:
    kept: list[Candidate] = []
    centres = np.empty((0, 3))
    for candidate in sorted(found, key=lambda c: -c.strength):
        centre = np.array(candidate.index) * spacing_mm
        radii = [max(other.diameter_mm, candidate.diameter_mm) / 2 for other in kept]
        if kept and np.any(np.linalg.norm(centres - centre, axis=1) < radii):
            continue
        kept.append(candidate)
        centres = np.vstack([centres, centre])
        if len(kept) == limit:
            break
    return kept
