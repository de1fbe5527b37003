"""How good an image is, measured in the image itself: noise, sharpness, contrast agent."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.imaging.volume import Volume

LOOKS = 12  # slices looked at, evenly spread
NOISE_WINDOW_MM = 6.0  # edge of the square in which a standard deviation is taken
SOFT_HU = (0.0, 100.0)  # mean of a window that shows soft tissue
SD_STEP_HU = 2.0  # bins of the standard deviations
FEWEST_WINDOWS = 500  # of soft tissue
COARSEST_PIXEL_MM = 1.0  # the noise of larger pixels tells nothing of the kernel
BLOOD_WINDOW_MM = 8.0  # more than the cortex of a rib, less than the aorta
BLOOD_HU = (-20.0, 500.0)  # means of windows that may show heart or vessels; more is bone or metal
MIDDLE = (0.25, 0.6, 0.3, 0.7)  # of the body's box, from front to back and from side to side: heart and great vessels, no spine

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Quality:
    """None: there is too little soft tissue to tell, or the pixels are too large."""

    noise_hu: float | None  # SD in soft tissue
    grain_mm: float | None  # sigma of the noise's grain: below 0.45 of sharp kernels, over 0.6 of soft ones
    blood_hu: float | None  # of the brightest soft tissue in the middle of the body


def measure_quality(volume: Volume) -> Quality:
    """Look at a few slices as they are; two tenths of a second for slices of 512×512."""
    chosen = np.unique(np.linspace(0, len(volume.voxels) - 1, LOOKS + 2).round().astype(int)[1:-1])
    planes = [volume.voxels[index].astype(np.float32) for index in chosen]
    _, row_mm, column_mm = volume.spacing_mm
    noise_hu, grain_mm = _noise(planes, (row_mm, column_mm))
    front_first = planes if volume.affine[1, 1] > 0 else [plane[::-1] for plane in planes]
    fine = max(row_mm, column_mm) <= COARSEST_PIXEL_MM
    return Quality(noise_hu, grain_mm if fine else None, _blood_hu(front_first, (row_mm, column_mm)))


def _noise(planes: Sequence[Floats], pixel_mm: tuple[float, float]) -> tuple[float | None, float | None]:
    """The commonest SD among small windows of soft tissue, for most of them hold no edge; and the grain of the noise in such windows.

    Global noise level: Christianson et al., AJR 2015, 205:W93.
    """
    window = [max(3, round(NOISE_WINDOW_MM / mm) | 1) for mm in pixel_mm]
    looks = [_windows(plane, window) for plane in planes]
    sd, unlikeness = (np.concatenate(values) for values in zip(*looks, strict=True))
    if sd.size < FEWEST_WINDOWS:
        return None, None
    counts = np.bincount((sd / SD_STEP_HU).astype(int)).astype(float)
    commonest_hu = (float(ndimage.uniform_filter1d(counts, 3, mode="constant").argmax()) + 0.5) * SD_STEP_HU
    between_pixels = float(np.median(unlikeness[np.abs(sd - commonest_hu) <= SD_STEP_HU]))
    return commonest_hu, _grain_mm(between_pixels, pixel_mm[1])


def _windows(plane: Floats, window: Sequence[int]) -> tuple[Floats, Floats]:
    """Around each pixel that lies in soft tissue: SD, and which share of the variance is between neighbours of a row."""
    mean = ndimage.uniform_filter(plane, window)
    soft = (mean > SOFT_HU[0]) & (mean < SOFT_HU[1])
    variance = np.maximum(ndimage.uniform_filter(plane * plane, window)[soft] - mean[soft] ** 2, 1e-3)
    steps = np.square(np.diff(plane, axis=1, append=plane[:, -1:]))
    return np.sqrt(variance), ndimage.uniform_filter(steps, window)[soft] / (2 * variance)


def _grain_mm(between_pixels: float, pixel_mm: float) -> float | None:
    """Noise smoothed by a Gaussian of sigma s correlates by exp(-(d / 2s)²) over the distance d; None where there is no noise."""
    distant = min(between_pixels, 0.999)
    return pixel_mm / (2 * float(np.sqrt(-np.log1p(-distant)))) if distant > 0 else None


def _blood_hu(planes: Sequence[Floats], pixel_mm: tuple[float, float]) -> float | None:
    """Median of the slices: on those of the shoulders it is bone, but they are few."""
    window = [max(1, round(BLOOD_WINDOW_MM / mm)) for mm in pixel_mm]
    brightest = [_brightest_hu(ndimage.uniform_filter(plane, window)[:: window[0], :: window[1]]) for plane in planes]
    told = [hu for hu in brightest if hu is not None]
    return float(np.median(told)) if told else None


def _brightest_hu(means: Floats) -> float | None:
    """means: of one plane's windows, the patient's front first."""
    body = ndimage.binary_opening(means > -300, iterations=2)
    if not body.any():
        return None
    rows, columns = ndimage.find_objects(body.view(np.uint8))[0]
    (top, height), (left, width) = ((extent.start, extent.stop - extent.start) for extent in (rows, columns))
    front, back, one_side, other_side = MIDDLE
    middle = means[top + int(front * height) : top + int(back * height), left + int(one_side * width) : left + int(other_side * width)]
    blood = middle[(middle > BLOOD_HU[0]) & (middle < BLOOD_HU[1])]
    return float(np.percentile(blood, 90)) if blood.size >= 20 else None
