"""The lungs as regions: from a network's map of lung, split into left and right, and drawn at the source's resolution."""

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.errors import Refusal, UnusableSeries
from cad_node.findings import Point, Region
from cad_node.imaging.airways import find_airways, find_carina
from cad_node.imaging.body import inside_body
from cad_node.imaging.shapes import IN_PLANE, Mask, Spacing, box_around, largest_parts
from cad_node.imaging.slabs import Slabs
from cad_node.imaging.upright import Upright
from cad_node.imaging.volume import Volume

AIR_HU = -400  # half-way between lung and soft tissue
LUMEN_HU = -600  # darker is air in an airway: its wall is thinner than a voxel
PLAUSIBLE_ML = (800.0, 12_000.0)  # both lungs of an adult, breathed out or in
SMALLEST_LUNG_ML = 150.0  # a part below isn't a lung
SMALLEST_PIECE_ML = 2.0  # of a lung that disease has cut up: less is noise
SMALLER_LUNG = 0.2  # of the larger: what two lungs have at least
MOST_SOLID_HU = -300.0  # mean of lungs that hold air at all
SPLITTING_MM = (2.0, 4.0, 6.0, 8.0, 10.0)  # erosions tried until lungs that touch come apart
THINNEST = 0.35  # of the widest: the section between two lungs that touch; within one lung it is more
RIM_HU = -200  # where the network says lung: voxels at the border that are partly lung
WALL_MM = 10.0  # dents up to twice as wide at the chest wall are filled: nodules at the pleura
INWARDS = 0.4  # cosine with the direction to the body's middle from which a dent is of the hilum, not of the chest wall
THREAD_PX = 1  # half the width of what is too thin for a lung
RIM_SHARE = 0.3  # of lung, by the network: air with less at the border isn't the lung's


@dataclass(frozen=True, slots=True)
class Lungs:
    """Both lungs with what lies in them: vessels and nodules are inside. One may be missing.

    carina_lps_mm: where the trachea divides; None where it wasn't seen.
    """

    left: Region | None
    right: Region | None
    carina_lps_mm: Point | None = None

    @property
    def regions(self) -> tuple[Region, ...]:
        return tuple(region for region in (self.left, self.right) if region)

    def mask(self, shape: tuple[int, ...]) -> Mask:
        """Both as one mask of the volume's shape."""
        both = np.zeros(shape, np.bool_)
        for region in self.regions:
            both[region.slices] |= region.mask
        return both


@dataclass(frozen=True, slots=True)
class LungMap:
    """What a network says, on the grid of `slabs`: (slab, row, column) float32; share: of lung, 0..1, lung from `threshold` on."""

    slabs: Slabs
    hu: NDArray[np.float32]
    share: NDArray[np.float32]
    threshold: float


def delineate_lungs(volume: Volume, upright: Upright, lung_map: LungMap) -> Lungs:
    """The lungs on the volume's voxels. Raises UnusableSeries (anatomy-not-found) if there are none of plausible size."""
    spacing_mm = lung_map.slabs.spacing_mm
    found = (lung_map.share >= lung_map.threshold) & inside_body(lung_map.hu)
    airways = find_airways(lung_map.hu < LUMEN_HU, found, spacing_mm)
    others = found | airways
    found = _without_threads(found & ~ndimage.binary_dilation(airways, IN_PLANE))
    parts = [_without_holes(part) for part in _split(found, spacing_mm)]
    _check_plausible(parts, lung_map.hu, spacing_mm, volume)
    parts = _with_wall_nodules(parts, lung_map.hu, spacing_mm)
    regions = _disjoint([_drawn(upright, lung_map, part, others & ~part) for part in parts])
    left, right = (upright.to_source(side) if side else None for side in _by_side(parts, regions, lung_map.hu))
    carina = find_carina(airways, spacing_mm)
    return Lungs(left, right, volume.to_lps(upright.to_source_index(lung_map.slabs.to_source(carina))) if carina else None)


def _without_threads(found: Mask) -> Mask:
    """Without what is thin and hangs on no lung: air in folds of clothes and mattresses."""
    thick = ndimage.binary_opening(found, IN_PLANE, iterations=THREAD_PX)
    return found & ndimage.binary_dilation(thick, IN_PLANE, iterations=THREAD_PX + 1)


def _split(found: Mask, spacing_mm: Spacing) -> list[Mask]:
    """Left and right lung, in no order; one if there is one. Touching lungs are eroded apart and grown back."""
    pieces = largest_parts(found, 2)
    parts = [part for part in pieces if _volume_ml(part, spacing_mm) >= SMALLEST_LUNG_ML]
    if parts and not _comparable(parts):  # a much smaller second part may be a piece: both lungs may be in the first
        parts = _apart(parts[0], spacing_mm) or _cut(parts[0]) or parts
    return _with_pieces(parts, found, spacing_mm) if parts else []


def _apart(whole: Mask, spacing_mm: Spacing) -> list[Mask]:
    """Two lungs that touch, eroded until they come apart, and grown back; empty if they don't."""
    box = box_around(whole)
    depth_mm = ndimage.distance_transform_edt(np.pad(whole[box], 1), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    for radius_mm in SPLITTING_MM:
        cores = largest_parts(depth_mm > radius_mm, 2)
        if _comparable(cores) and _volume_ml(cores[1], spacing_mm) >= SMALLEST_LUNG_ML / 2:
            nearest = ndimage.distance_transform_edt(
                ~(cores[0] | cores[1]), sampling=spacing_mm, return_distances=False, return_indices=True
            )
            first, second = np.zeros_like(whole), np.zeros_like(whole)
            to_first = cores[0][tuple(nearest)]
            first[box], second[box] = whole[box] & to_first, whole[box] & ~to_first
            return [first, second]
    return []


def _cut(whole: Mask) -> list[Mask]:
    """Two lungs that touch widely, cut from front to back where they are thinnest; empty if that isn't thin."""
    column = box_around(whole)[2]
    area = ndimage.uniform_filter1d(whole.sum(axis=(0, 1)).astype(float), 3)
    quarter = (column.stop - column.start) // 4
    cut = column.start + quarter + int(np.argmin(area[column.start + quarter : column.stop - quarter]))
    if area[cut] > THINNEST * area.max():
        return []
    first, second = whole.copy(), whole.copy()
    first[:, :, cut:] = second[:, :, :cut] = False
    return [first, second]


def _comparable(parts: list[Mask]) -> bool:
    """Whether two parts may be the two lungs."""
    return len(parts) == 2 and bool(parts[1].sum() > SMALLER_LUNG * parts[0].sum())


def _with_pieces(parts: list[Mask], found: Mask, spacing_mm: Spacing) -> list[Mask]:
    """The parts, each with the smaller pieces of lung whose middle lies in its box."""
    rest = found & ~np.logical_or.reduce(parts)
    labels = cc3d.connected_components(rest, connectivity=6)
    statistics = cc3d.statistics(labels)
    boxes = [box_around(part) for part in parts]
    for label, count in enumerate(statistics["voxel_counts"][1:], 1):
        if count * np.prod(spacing_mm) / 1000 >= SMALLEST_PIECE_ML:
            middle = statistics["centroids"][label]
            around = [index for index, box in enumerate(boxes) if all(b.start <= at < b.stop for b, at in zip(box, middle, strict=True))]
            if len(around) == 1:
                parts[around[0]] |= labels == label
    return parts


def _volume_ml(mask: Mask, spacing_mm: Spacing) -> float:
    return float(mask.sum() * np.prod(spacing_mm)) / 1000


def _without_holes(part: Mask) -> Mask:
    """Filled where nothing leads out."""
    box = box_around(part)
    outside = cc3d.connected_components(np.pad(~part[box], 1, constant_values=True), connectivity=6)
    filled = part.copy()
    filled[box] |= (outside != outside[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return filled


def _with_wall_nodules(parts: list[Mask], hu: NDArray[np.float32], spacing_mm: Spacing) -> list[Mask]:
    """Each lung with its dents at the chest wall filled, slice by slice; those at the hilum are vessels, not the lung's."""
    middle = np.mean([_column(part) for part in parts]) if len(parts) == 2 else _middle(hu)
    margin = int(WALL_MM / spacing_mm[1]) + 2
    filled = []
    for part in parts:
        inwards = 1 if _column(part) < middle else -1
        z, y, x = box_around(part)
        whole = part.copy()
        for index in range(z.start, z.stop):
            plane = part[index, y, x]
            if plane.any():
                grown = ndimage.distance_transform_edt(~np.pad(plane, margin)) * spacing_mm[1] <= WALL_MM
                closed = ndimage.distance_transform_edt(grown)[margin:-margin, margin:-margin] * spacing_mm[1] > WALL_MM
                whole[index, y, x] |= closed & _outwards(plane, inwards)
        filled.append(whole)
    return filled


def _column(part: Mask) -> float:
    """The mean column."""
    return float(np.average(np.arange(part.shape[2]), weights=part.sum(axis=(0, 1))))


def _outwards(plane: Mask, inwards: int) -> Mask:
    """Where the direction from the lung's middle isn't towards the body's."""
    row, column = ndimage.center_of_mass(plane)
    down, right = np.arange(plane.shape[0])[:, None] - row, np.arange(plane.shape[1]) - column
    return np.asarray(inwards * right <= INWARDS * np.hypot(down, right))


def _check_plausible(parts: list[Mask], hu: NDArray[np.float32], spacing_mm: Spacing, volume: Volume) -> None:
    found_ml = sum(_volume_ml(part, spacing_mm) for part in parts)
    sentence = ""
    if not PLAUSIBLE_ML[0] <= found_ml <= PLAUSIBLE_ML[1]:
        sentence = f"{found_ml:.0f} ml of lung found, a chest has {PLAUSIBLE_ML[0]:.0f} to {PLAUSIBLE_ML[1]:.0f}"
    elif (mean_hu := float(hu[np.logical_or.reduce(parts)].mean())) > MOST_SOLID_HU:
        sentence = f"what looks like lung has {mean_hu:.0f} HU on average, lungs that hold air less than {MOST_SOLID_HU:.0f}"
    if sentence:
        uid = volume.series_instance_uid
        raise UnusableSeries(Refusal.ANATOMY_NOT_FOUND, uid, f"{sentence}; send a series of the chest that shows both lungs")


def _drawn(upright: Upright, lung_map: LungMap, part: Mask, others: Mask) -> Region:
    """A lung at the source's resolution: its inside as it is, its border where the source shows air.

    part: the lung on the map's grid; others: what is the other lung there, or an airway.
    """
    solid = ndimage.binary_opening(part & (lung_map.hu > AIR_HU), IN_PLANE)  # nodules at the pleura; thinner is the wall's own roughness
    inside = (ndimage.binary_erosion(part, IN_PLANE) | solid).astype(np.float32)
    near = ndimage.binary_dilation(part, IN_PLANE, iterations=2)
    share = np.where(near & ~others, lung_map.share, np.float32(0))
    np.maximum(share, inside, out=share)
    box = _wider(box_around(part), lung_map.slabs.shape)
    z, y, x = lung_map.slabs.source_box(box)
    mask = np.empty((z.stop - z.start, y.stop - y.start, x.stop - x.start), np.bool_)
    for index in range(z.start, z.stop):
        hu = upright.voxels[index, y, x]
        of_lung, well_inside = (lung_map.slabs.on_slice(values, index, box) for values in (share, inside))
        mask[index - z.start] = (
            (well_inside >= 0.5)
            | ((hu < RIM_HU) & (of_lung >= lung_map.threshold))
            | ((hu < AIR_HU) & (of_lung >= min(RIM_SHARE, lung_map.threshold)))
        )
    smallest = int(SMALLEST_PIECE_ML * 1000 / np.prod(upright.spacing_mm))
    return Region((z.start, y.start, x.start), cc3d.dust(mask, threshold=smallest, connectivity=6))


def _wider(box: tuple[slice, slice, slice], shape: tuple[int, int, int]) -> tuple[slice, slice, slice]:
    z, y, x = (slice(max(0, part.start - 1), min(length, part.stop + 1)) for part, length in zip(box, shape, strict=True))
    return z, y, x


def _disjoint(regions: list[Region]) -> list[Region]:
    """Where both lungs claim a voxel, the first keeps it."""
    if len(regions) < 2:
        return regions
    first, second = regions
    both = np.zeros(np.max([np.add(region.origin, region.mask.shape) for region in regions], axis=0), np.bool_)
    both[first.slices] = first.mask
    return [first, Region(second.origin, second.mask & ~both[second.slices])]


def _by_side(parts: list[Mask], regions: list[Region], hu: NDArray[np.float32]) -> tuple[Region | None, Region | None]:
    """(left, right): columns run to the patient's left; a lone lung is sided by the middle of the body."""
    if len(regions) == 2:
        return (regions[0], regions[1]) if _column(parts[0]) > _column(parts[1]) else (regions[1], regions[0])
    return (regions[0], None) if _column(parts[0]) > _middle(hu) else (None, regions[0])


def _middle(hu: NDArray[np.float32]) -> float:
    """The body's middle column."""
    return float(np.flatnonzero((hu > AIR_HU).mean(axis=(0, 1)) > 0.1).mean())
