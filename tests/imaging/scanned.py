"""Solids of known size as volumes, with the outline that a half-way threshold draws."""

from collections.abc import Sequence

import numpy as np

from cad_node.findings import Region
from cad_node.imaging.shapes import box_around
from cad_node.imaging.volume import Volume
from cad_node.phantom.solids import Scan, Solid, noise, scan_solid
from tests.imaging.geometry import volume_of


def scanned(
    solid: Solid, scan: Scan, offset: Sequence[float] = (0.0, 0.0, 0.0), noise_hu: float = 24.0, seed: int = 1
) -> tuple[Volume, Region]:
    """The scan, and the half-way outline of what the scanner would show without noise."""
    clean = scan_solid(solid, scan, tuple(offset))
    hu = clean + noise(clean.shape, noise_hu, scan.pixel_spacing_mm, np.random.default_rng(seed))
    spacing_mm = scan.slice_spacing_mm, scan.pixel_spacing_mm, scan.pixel_spacing_mm
    return volume_of(np.rint(hu), spacing_mm, origin_lps_mm=(-30, 12, -700)), region_of(clean >= (clean.min() + clean.max()) / 2)


def region_of(mask: np.ndarray) -> Region:
    z, y, x = box_around(mask)
    return Region((z.start, y.start, x.start), np.ascontiguousarray(mask[z, y, x]))
