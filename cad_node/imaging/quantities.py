"""The numbers that a report gives of a nodule and of the lungs, each with its codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import dist

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from cad_node.findings import Evaluation, Measurement, Region
from cad_node.imaging import concepts
from cad_node.imaging.location import distance_to_border_mm, lung_with, zone
from cad_node.imaging.lungs import Lungs
from cad_node.imaging.measure import Size, measure
from cad_node.imaging.volume import Volume


@dataclass(frozen=True, slots=True)
class NoduleQuantities:
    """measurements are those beyond `size`; site is the lung that holds the nodule, None if neither does."""

    size: Size
    measurements: tuple[Measurement, ...]
    evaluations: tuple[Evaluation, ...]
    site: Code | None


@dataclass(frozen=True, slots=True)
class LungQuantities:
    """Of each lung, and of both as one; empty for a lung that there isn't."""

    left: tuple[Measurement, ...]
    right: tuple[Measurement, ...]
    both: tuple[Measurement, ...]


def quantify_nodule(volume: Volume, region: Region, lungs: Lungs) -> NoduleQuantities:
    """Everything that docs/measurement.md lists of a nodule."""
    size = measure(volume, region)
    held = lung_with(region, lungs)
    measurements = [
        concepts.SEGMENT_VOLUME.of(size.segment_volume_mm3),
        concepts.EFFECTIVE_DIAMETER.of(size.effective_diameter_mm),
        *_attenuation(volume.voxels[region.slices][region.mask]),
    ]
    gap_mm = distance_to_border_mm(volume, region, held[1]) if held else None
    if gap_mm is not None:
        measurements.append(concepts.PLEURA_DISTANCE.of(gap_mm))
    if lungs.carina_lps_mm:
        measurements.append(concepts.CARINA_DISTANCE.of(dist(size.centre_lps_mm, lungs.carina_lps_mm)))
    if held is None:
        return NoduleQuantities(size, tuple(measurements), (), None)
    site, lung = held
    where = Evaluation(concepts.LOCATION_IN_CHEST, zone(volume, size.centre_lps_mm, lung))
    return NoduleQuantities(size, tuple(measurements), (where,), site)


def quantify_lungs(volume: Volume, lungs: Lungs) -> LungQuantities:
    """Volume, mean density and emphysema index of each lung and of both."""
    left, right = (_lung_hu(volume, region) for region in (lungs.left, lungs.right))
    return LungQuantities(*(_lung_measurements(volume, hu) for hu in (left, right, [*left, *right])))


def _attenuation(hu: NDArray[np.int16]) -> list[Measurement]:
    """Mean HU is in Size."""
    percentiles = np.percentile(hu, list(concepts.PERCENTILES_HU))
    return [
        concepts.SD_HU.of(float(hu.std())),
        *(quantity.of(float(value)) for quantity, value in zip(concepts.PERCENTILES_HU.values(), percentiles, strict=True)),
        concepts.SOLID_EXTENT.of(100 * float((hu > concepts.SOLID_HU).mean())),
    ]


def _lung_hu(volume: Volume, region: Region | None) -> list[NDArray[np.int16]]:
    return [volume.voxels[region.slices][region.mask]] if region else []


def _lung_measurements(volume: Volume, parts: Sequence[NDArray[np.int16]]) -> tuple[Measurement, ...]:
    voxels = sum(part.size for part in parts)
    if not voxels:
        return ()
    low = sum(int((part < concepts.LOW_ATTENUATION_HU).sum()) for part in parts)
    return (
        concepts.LUNG_VOLUME.of(voxels * float(np.prod(volume.spacing_mm)) / 1000),
        concepts.LUNG_DENSITY.of(sum(int(part.sum(dtype=np.int64)) for part in parts) / voxels),
        concepts.LOW_ATTENUATION_AREA.of(100 * low / voxels),
    )
