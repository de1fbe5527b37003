"""The lungs on a chest CT: air inside the body, airways out, split into left and right, dents at the pleura filled.

A classical method: found on a grid of about 2 mm, then its border refined at the source's resolution.
"""

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.errors import Refusal, UnusableSeries
from cad_node.findings import Region
from cad_node.imaging.airways import find_airways
from cad_node.imaging.shapes import Mask, Spacing, box_around, close, erode, largest_parts
from cad_node.imaging.volume import Volume

GRID_MM = 2.0  # voxel edge of the coarse grid, about; slices may be thicker
AIR_HU = -400  # half-way between lung and soft tissue
CLOSING_MM = 10.0  # dents up to twice as wide are filled: nodules at the pleura, vessels at the hilum
PLAUSIBLE_ML = (800.0, 12_000.0)  # both lungs of an adult, breathed out or in
SMALLEST_LUNG_ML = 150.0  # a part below isn't a lung
SMALLER_LUNG = 0.2  # of the larger: what two lungs have at least
PADDING_HU = -1200  # darker than any tissue: what scanners write outside their round field of view
LOST_TO_SIDES = 1.25  # how much more air another reading of the sides must find to be believed: a share that only a lung explains
CUT_BY_SIDES = 1.0  # contact of a lung with the image's sides over a face of a cube of its size; air around a body has 4
SPLITTING_MM = (2.0, 4.0, 6.0, 8.0, 10.0)  # erosions tried until lungs that touch come apart
_IN_PLANE = np.array([[[0, 0, 0]] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0, 0, 0]] * 3])  # neighbours within a slice


@dataclass(frozen=True, slots=True)
class Lungs:
    """Both lungs with what lies in them: vessels and nodules are inside. One may be missing."""

    left: Region | None
    right: Region | None

    @property
    def regions(self) -> tuple[Region, ...]:
        return tuple(region for region in (self.left, self.right) if region)

    def mask(self, shape: tuple[int, ...]) -> Mask:
        """Both as one mask of the volume's shape."""
        both = np.zeros(shape, np.bool_)
        for region in self.regions:
            both[region.slices] |= region.mask
        return both


def segment_lungs(volume: Volume) -> Lungs:
    """Delineate the lungs. Raises UnusableSeries (anatomy-not-found) if there are none of plausible size."""
    step = tuple(max(1, int(GRID_MM / mm + 0.5)) for mm in volume.spacing_mm)
    coarse = _block_means(volume.voxels, step)
    z, y, x = (mm * n for mm, n in zip(volume.spacing_mm, step, strict=True))
    spacing_mm = (z, y, x)
    air = _air_in_body(coarse)
    upwards = slice(None, None, 1 if volume.affine[2, 0] > 0 else -1)
    airways = find_airways(air[upwards], spacing_mm)[upwards]
    parts = _split(air & ~airways, spacing_mm)
    sides = [_closed(part, spacing_mm) & ~airways for part in parts]
    _check_plausible(sides, spacing_mm, volume)
    regions = _disjoint([_refined(volume.voxels, part, side, step) for part, side in zip(parts, sides, strict=True)])
    return _by_side(volume, regions)


def _block_means(voxels: NDArray[np.int16], step: tuple[int, ...]) -> NDArray[np.float32]:
    """Means over blocks of `step` voxels; what is left over at the far ends is dropped."""
    z, y, x = (length // n for length, n in zip(voxels.shape, step, strict=True))
    coarse = np.empty((z, y, x), np.float32)
    for index in range(z):  # slice by slice: no second copy of the volume
        block = voxels[index * step[0] : (index + 1) * step[0], : y * step[1], : x * step[2]]
        coarse[index] = block.reshape(step[0], y, step[1], x, step[2]).mean(axis=(0, 2, 4))
    return coarse


def _air_in_body(coarse: NDArray[np.float32]) -> Mask:
    """Air that isn't joined to the sides of the image: without what is around the body, and the table."""
    padding = coarse < PADDING_HU
    air = (coarse < AIR_HU) & ~padding
    sides = ndimage.binary_dilation(padding, _IN_PLANE) if padding.any() else padding
    sides[:, [0, -1], :] = sides[:, :, [0, -1]] = True
    in_space, in_each_slice = cc3d.connected_components(air, connectivity=6), ndimage.label(air, _IN_PLANE)[0]
    inside = _enclosed(in_space, sides, 0.0)
    lungs_cut, mouth_open = _enclosed(in_space, sides, CUT_BY_SIDES), _enclosed(in_each_slice, sides, 0.0)
    for otherwise in (lungs_cut, mouth_open):  # the field of view cuts the lungs; the outside comes in by the mouth
        if otherwise.sum() > LOST_TO_SIDES * inside.sum():
            inside = otherwise
    return ndimage.binary_opening(inside)


def _enclosed(labels: NDArray[np.integer], sides: Mask, contact: float) -> Mask:
    """The labelled parts that meet `sides` in at most `contact` times as many voxels as a face of a cube of their size has."""
    count = np.bincount(labels.ravel())
    meeting = np.bincount(labels[sides], minlength=len(count))
    keep = meeting <= contact * count ** (2 / 3)
    keep[0] = False
    return np.asarray(keep[labels])


def _split(air: Mask, spacing_mm: Spacing) -> list[Mask]:
    """Left and right lung, in no order; one if there is one. Touching lungs are eroded apart and grown back."""
    parts = [part for part in largest_parts(air, 2) if _volume_ml(part, spacing_mm) >= SMALLEST_LUNG_ML]
    if not parts or _comparable(parts):
        return parts
    return _apart(parts[0], spacing_mm) or parts  # a much smaller second part may be gas in the stomach: both lungs may be in the first


def _apart(whole: Mask, spacing_mm: Spacing) -> list[Mask]:
    """Two lungs that touch, eroded until they come apart, and grown back; empty if they don't."""
    box = box_around(whole)
    touching = np.pad(whole[box], 1)
    for radius_mm in SPLITTING_MM:
        cores = largest_parts(erode(touching, radius_mm, spacing_mm), 2)
        if _comparable(cores) and _volume_ml(cores[1], spacing_mm) >= SMALLEST_LUNG_ML / 2:
            to_first, to_second = (ndimage.distance_transform_edt(~core, sampling=spacing_mm)[1:-1, 1:-1, 1:-1] for core in cores)
            first, second = np.zeros_like(whole), np.zeros_like(whole)
            first[box], second[box] = whole[box] & (to_first <= to_second), whole[box] & (to_second < to_first)
            return [first, second]
    return []


def _comparable(parts: list[Mask]) -> bool:
    """Whether two parts may be the two lungs."""
    return len(parts) == 2 and bool(parts[1].sum() > SMALLER_LUNG * parts[0].sum())


def _volume_ml(mask: Mask, spacing_mm: Spacing) -> float:
    return float(mask.sum() * np.prod(spacing_mm)) / 1000


def _check_plausible(sides: list[Mask], spacing_mm: Spacing, volume: Volume) -> None:
    found_ml = sum(_volume_ml(side, spacing_mm) for side in sides)
    if not PLAUSIBLE_ML[0] <= found_ml <= PLAUSIBLE_ML[1]:
        raise UnusableSeries(
            Refusal.ANATOMY_NOT_FOUND,
            volume.series_instance_uid,
            f"{found_ml:.0f} ml of air-filled lung found, a chest has {PLAUSIBLE_ML[0]:.0f} to {PLAUSIBLE_ML[1]:.0f}; "
            "send a series that shows both lungs",
        )


def _closed(part: Mask, spacing_mm: Spacing) -> Mask:
    """The part with its dents filled; worked on in its own box."""
    margin = [int(CLOSING_MM / mm) + 2 for mm in spacing_mm]
    box = tuple(slice(max(0, side.start - width), side.stop + width) for side, width in zip(box_around(part), margin, strict=True))
    closed = np.zeros_like(part)
    closed[box] = close(part[box], CLOSING_MM, spacing_mm)
    return closed


def _refined(voxels: NDArray[np.int16], part: Mask, side: Mask, step: tuple[int, ...]) -> Region:
    """A coarse lung at the source's resolution: its core and its filled dents as they are, else its border where the source shows lung.

    part: before its dents were filled; side: after.
    """
    box = tuple(slice(max(0, extent.start - 1), extent.stop + 1) for extent in box_around(side))
    closed = side[box]
    dents = ndimage.binary_opening(closed & ~part[box], _IN_PLANE)  # narrower ones are the wall's own roughness
    core, rim = (_enlarged(mask, step) for mask in (ndimage.binary_erosion(closed) | dents, ndimage.binary_dilation(closed)))
    z, y, x = (extent.start * count for extent, count in zip(box, step, strict=True))
    source = voxels[z : z + core.shape[0], y : y + core.shape[1], x : x + core.shape[2]]
    inside = largest_parts(core | (rim & (source < AIR_HU)), 1)[0]
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in inside])  # specks of vessel at the rim
    return Region((z, y, x), filled)


def _enlarged(mask: Mask, step: tuple[int, ...]) -> Mask:
    for axis, count in enumerate(step):
        mask = np.repeat(mask, count, axis=axis)
    return mask


def _disjoint(regions: list[Region]) -> list[Region]:
    """Where filled dents of both lungs meet, the first keeps the voxels."""
    if len(regions) < 2:
        return regions
    first, second = regions
    both = np.zeros(np.max([np.add(region.origin, region.mask.shape) for region in regions], axis=0), np.bool_)
    both[first.slices] = first.mask
    return [first, Region(second.origin, second.mask & ~both[second.slices])]


def _by_side(volume: Volume, regions: list[Region]) -> Lungs:
    """The patient's left is where x grows, PS3.3 C.7.6.2.1.1; a lone lung is sided by the middle of the image."""
    x_mm = [volume.to_lps(_centre(region))[0] for region in regions]
    if len(regions) == 2:
        left, right = (0, 1) if x_mm[0] > x_mm[1] else (1, 0)
        return Lungs(regions[left], regions[right])
    z, y, x = ((length - 1) / 2 for length in volume.voxels.shape)
    is_left = x_mm[0] > volume.to_lps((z, y, x))[0]
    return Lungs(regions[0], None) if is_left else Lungs(None, regions[0])


def _centre(region: Region) -> tuple[float, float, float]:
    z, y, x = (float(o + c) for o, c in zip(region.origin, ndimage.center_of_mass(region.mask), strict=True))
    return z, y, x
