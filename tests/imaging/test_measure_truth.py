"""Measurements against solids of known size, as a scanner shows them: partial volume, blur, noise, neighbours."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cad_node.findings import Region
from cad_node.imaging.measure import measure
from cad_node.phantom.solids import Ellipsoid, Scan, axial_diameter_mm, ball, ellipsoid, lobulated, volume_mm3
from tests.imaging.geometry import volume_of
from tests.imaging.scanned import region_of, scanned

offsets = st.tuples(*[st.floats(-0.5, 0.5)] * 3)
thin_scans = st.builds(Scan, slice_spacing_mm=st.floats(0.6, 1.25), pixel_spacing_mm=st.floats(0.5, 0.8), blur_mm=st.floats(0.35, 0.8))


@settings(max_examples=25, deadline=None)
@given(diameter_mm=st.floats(6, 16), scan=thin_scans, offset=offsets, seed=st.integers(0, 999))
def test_a_ball_on_thin_slices_measures_its_volume_and_its_diameter(diameter_mm, scan, offset, seed):
    volume, region = scanned(ball(diameter_mm), scan, offset, seed=seed)

    size = measure(volume, region)

    assert size.volume_mm3 == pytest.approx(volume_mm3(ball(diameter_mm)), rel=0.08)
    assert size.effective_diameter_mm == pytest.approx(diameter_mm, rel=0.03)
    assert size.long_axis.length_mm == pytest.approx(diameter_mm, abs=1)
    assert size.short_axis.length_mm == pytest.approx(diameter_mm, abs=1)


@pytest.mark.parametrize("blur_mm", [0.35, 0.8])
def test_the_volume_of_a_small_ball_is_not_biased_by_the_kernel(blur_mm):
    rng = np.random.default_rng(4)
    solid, scan = ball(6.0), Scan(1.25, blur_mm=blur_mm)

    errors = [measure(*scanned(solid, scan, rng.uniform(-0.5, 0.5, 3), seed=n)).volume_mm3 / volume_mm3(solid) - 1 for n in range(10)]

    assert abs(np.mean(errors)) <= 0.02


@pytest.mark.parametrize(
    "solid", [ellipsoid(8.0, 10.0, 14.0), ellipsoid(14.0, 9.0, 8.0), lobulated(14.0)], ids=["flat", "tall", "lobulated"]
)
def test_other_solids_measure_true_too(solid):
    size = measure(*scanned(solid, Scan(1.0), (0.3, -0.2, 0.1)))

    assert size.volume_mm3 == pytest.approx(volume_mm3(solid), rel=0.03)
    assert size.long_axis.length_mm == pytest.approx(axial_diameter_mm(solid), abs=0.5)


def test_the_diameters_of_an_ellipsoid_are_its_axes():
    size = measure(*scanned(ellipsoid(10.0, 9.0, 15.0), Scan(1.0)))

    assert size.long_axis.length_mm == pytest.approx(15, abs=0.4)
    assert size.short_axis.length_mm == pytest.approx(9, abs=0.4)


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(0, np.pi), long_mm=st.floats(10, 20), share=st.floats(0.5, 0.9), pixel_mm=st.floats(0.5, 0.9))
def test_a_turned_ellipse_has_the_same_diameters(angle, long_mm, share, pixel_mm):
    filled = turned_ellipse(long_mm / 2, share * long_mm / 2, angle, pixel_mm)
    volume = volume_of(np.rint(np.stack([-850 + 900 * filled] * 5)), (1.0, pixel_mm, pixel_mm))

    size = measure(volume, Region((0, 0, 0), np.stack([filled > 0.5] * 5)))

    assert size.long_axis.length_mm == pytest.approx(long_mm, abs=0.3)
    assert size.short_axis.length_mm == pytest.approx(share * long_mm, abs=0.35)


@settings(max_examples=20, deadline=None)
@given(flipped=st.sets(st.integers(0, 2)), offset=offsets, diameter_mm=st.floats(5, 12))
def test_a_mirror_image_measures_the_same(flipped, offset, diameter_mm):
    volume, region = scanned(lobulated(diameter_mm), Scan(1.0), offset)
    axes = tuple(flipped)
    mask = np.zeros(volume.voxels.shape, np.bool_)
    mask[region.slices] = region.mask

    size = measure(volume, region)
    mirrored = measure(volume_of(np.flip(volume.voxels, axes), volume.spacing_mm), region_of(np.flip(mask, axes)))

    assert mirrored.volume_mm3 == pytest.approx(size.volume_mm3, rel=5e-3)
    assert mirrored.segment_volume_mm3 == size.segment_volume_mm3
    assert mirrored.long_axis.length_mm == pytest.approx(size.long_axis.length_mm, abs=0.02)


@settings(max_examples=20, deadline=None)
@given(shift=st.tuples(*[st.integers(0, 9)] * 3))
def test_where_in_the_image_it_lies_does_not_matter(shift):
    volume, region = scanned(ball(7.0), Scan(1.0), (0.2, 0.4, -0.3))
    moved = np.pad(volume.voxels, [(n, 9 - n) for n in shift], mode="edge")

    size = measure(volume, region)
    there = measure(volume_of(moved, volume.spacing_mm), Region(tuple(np.add(region.origin, shift).tolist()), region.mask))

    assert there.volume_mm3 == pytest.approx(size.volume_mm3, rel=1e-6)
    assert there.long_axis.length_mm == pytest.approx(size.long_axis.length_mm, rel=1e-6)
    assert np.subtract(there.long_axis.ends_px[0], size.long_axis.ends_px[0]) == pytest.approx((shift[2], shift[1]))


@pytest.mark.parametrize(("grow", "within"), [(ndimage.binary_dilation, 0.03), (ndimage.binary_erosion, 0.15)], ids=["wider", "narrower"])
def test_an_outline_that_is_a_pixel_off_loses_little_of_the_volume(grow, within):
    volume, region = scanned(ball(10.0), Scan(1.0))
    off = Region(tuple(at - 1 for at in region.origin), grow(np.pad(region.mask, 1)))

    size = measure(volume, off)

    assert size.segment_volume_mm3 != pytest.approx(volume_mm3(ball(10.0)), rel=0.2)
    assert size.volume_mm3 == pytest.approx(volume_mm3(ball(10.0)), rel=within)
    assert size.long_axis.length_mm == pytest.approx(10, abs=0.5)


def test_a_vessel_that_leads_away_has_no_share():
    alone, vessel = ball(10.0), (Ellipsoid((0.0, 0.0, 25.0), (1.5, 1.5, 25.0)),)
    volume, _ = scanned((*alone, *vessel), Scan(1.0))
    _, region = scanned(alone, Scan(1.0))
    centre = [n // 2 for n in volume.voxels.shape]

    size = measure(volume, Region(tuple(c - n // 2 for c, n in zip(centre, region.mask.shape, strict=True)), region.mask))

    assert size.volume_mm3 == pytest.approx(volume_mm3(alone), rel=0.04)
    assert size.long_axis.length_mm == pytest.approx(10, abs=0.7)


def test_the_wall_that_a_nodule_lies_against_has_no_share():
    volume, region = scanned(ball(10.0), Scan(1.0))
    wall = region.origin[2] + region.mask.shape[2] - 2
    voxels = volume.voxels.copy()
    voxels[:, :, wall:] = 40
    mask = region.mask.copy()
    mask[:, :, wall - region.origin[2] :] = False

    size = measure(volume_of(voxels, volume.spacing_mm), Region(region.origin, mask))

    assert size.volume_mm3 == pytest.approx(volume_mm3(ball(10.0)), rel=0.08)
    assert size.segment_volume_mm3 < size.volume_mm3 * 1.05


def test_ground_glass_around_a_solid_core_counts_in_full():
    glass, _ = scanned(ball(16.0), Scan(1.0, solid_hu=-560.0), noise_hu=12)
    _, region = scanned(ball(16.0), Scan(1.0))
    core, inner = scanned(ball(7.0), Scan(1.0), noise_hu=12)
    voxels = glass.voxels.copy()
    low = [(a - b) // 2 for a, b in zip(voxels.shape, core.voxels.shape, strict=True)]
    here = tuple(slice(at + o, at + o + n) for at, o, n in zip(low, inner.origin, inner.mask.shape, strict=True))
    voxels[here] = np.where(inner.mask, core.voxels[inner.slices], voxels[here])

    size = measure(volume_of(voxels, glass.spacing_mm), region)

    assert size.volume_mm3 == pytest.approx(volume_mm3(ball(16.0)), rel=0.03)


def test_half_a_nodule_at_the_end_of_the_scan_is_measured_as_far_as_it_is_seen():
    volume, region = scanned(ball(12.0), Scan(1.0))
    middle = len(volume.voxels) // 2

    size = measure(
        volume_of(volume.voxels[middle:], volume.spacing_mm),
        Region((0, *region.origin[1:]), region.mask[middle - region.origin[0] :]),
    )

    seen_mm3 = volume_mm3(ball(12.0)) / 2 + 0.5 * np.pi * 36  # and half of the middle slice
    assert size.volume_mm3 == pytest.approx(seen_mm3, rel=0.05)


def test_without_contrast_the_outline_is_taken_as_it_is():
    volume, region = scanned(ball(9.0), Scan(1.0))

    size = measure(volume_of(np.full_like(volume.voxels, 40), volume.spacing_mm), region)

    assert size.volume_mm3 == pytest.approx(size.segment_volume_mm3)


def turned_ellipse(a_mm: float, b_mm: float, angle: float, pixel_mm: float) -> np.ndarray:
    """(row, column): the share of each pixel that lies in the ellipse."""
    parts = 8
    size = 2 * int(a_mm / pixel_mm + 4) + 1
    fine_mm = ((np.arange(size * parts) + 0.5) / parts - size / 2) * pixel_mm
    y, x = fine_mm[:, None], fine_mm[None, :]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    inside = (along / a_mm) ** 2 + (across / b_mm) ** 2 <= 1
    return inside.reshape(size, parts, size, parts).mean(axis=(1, 3))


@pytest.mark.parametrize("outline", ["true", "served"])
def test_the_published_sweep_keeps_what_is_promised_of_balls(outline):
    cells = json.loads(Path("docs/measurement.json").read_text(encoding="utf-8"))["cells"]

    promised = [
        cell
        for cell in cells
        if (cell["outline"], cell["shape"]) == (outline, "ball") and cell["diameter_mm"] >= 6 and cell["spacing_mm"] <= 1.25
    ]

    assert len(promised) >= 150
    assert max(abs(cell["volume_bias"]) for cell in promised) <= 5
    assert max(abs(cell["diameter_bias"]) for cell in promised) <= 1
    assert not any(cell["missed"] for cell in promised)
