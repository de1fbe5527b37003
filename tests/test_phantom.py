"""The phantom: the same bytes each time, a chest by its numbers, and nodules where the truth says."""

import shutil
import subprocess

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.findings import Point
from cad_node.phantom import NODULES, PhantomNodule, PhantomStudy, phantom_study
from tests.factory import save_study

COARSE = {"slices": 100, "spacing_mm": 2.5, "pixel_spacing_mm": 0.95, "size_px": 384}
SMALL = {"slices": 12, "spacing_mm": 5.0, "pixel_spacing_mm": 2.0, "size_px": 180}
LUNG_HU = -860.0


@pytest.fixture(scope="module")
def phantom() -> PhantomStudy:
    return phantom_study(**COARSE)


@pytest.fixture(scope="module")
def hu(phantom) -> NDArray[np.int16]:
    return hu_of(phantom)


@pytest.fixture(scope="module")
def added_hu(hu) -> NDArray[np.int16]:
    """What the nodules alone add: the same seed draws the same chest and the same noise without them."""
    return hu - hu_of(phantom_study(**COARSE, nodules=()))


def test_a_seed_makes_the_same_bytes_and_uids_each_time():
    first, second = (phantom_study(**SMALL, seed=4) for _ in range(2))

    assert [ds.to_json() for ds in first.datasets] == [ds.to_json() for ds in second.datasets]


def test_another_seed_makes_another_study():
    first, second = (phantom_study(**SMALL, seed=seed) for seed in (4, 5))

    assert first.datasets[0].PixelData != second.datasets[0].PixelData
    assert first.datasets[0].StudyInstanceUID != second.datasets[0].StudyInstanceUID


def test_the_grid_is_the_one_wanted(phantom):
    positions = np.array([ds.ImagePositionPatient for ds in phantom.datasets], float)

    assert len(phantom.datasets) == COARSE["slices"]
    assert {(ds.Rows, ds.Columns, *ds.PixelSpacing) for ds in phantom.datasets} == {(384, 384, 0.95, 0.95)}
    assert np.allclose(np.diff(positions, axis=0), [0, 0, 2.5])
    assert len({ds.SOPInstanceUID for ds in phantom.datasets}) == COARSE["slices"]


def test_progress_counts_up_to_its_total():
    steps = []

    phantom_study(**SMALL, on_progress=lambda done, total: steps.append((done, total)))

    assert steps == [(done, 24) for done in range(1, 25)]


@pytest.mark.parametrize("nodule", NODULES, ids=lambda nodule: f"{nodule.diameter_mm:g} mm")
def test_every_nodule_lies_where_the_truth_says_with_its_volume(nodule, phantom, added_hu):
    box, offsets_mm = around_nodule(nodule, phantom)

    added = added_hu[box]

    centre_mm = [np.average(np.broadcast_to(offset_mm, added.shape), weights=added) for offset_mm in offsets_mm]
    volume_mm3 = added.sum() * 2.5 * 0.95**2 / contrast_hu(nodule)
    assert np.abs(centre_mm).max() < 0.6
    assert volume_mm3 == pytest.approx(
        nodule.volume_mm3, rel=0.15 if nodule.core_diameter_mm else 0.08
    )  # vessels shine through ground glass


@pytest.mark.parametrize("nodule", NODULES, ids=lambda nodule: f"{nodule.diameter_mm:g} mm")
def test_every_nodule_lies_in_lung(nodule, phantom, hu, added_hu):
    box, (z_mm, y_mm, x_mm) = around_nodule(nodule, phantom)
    radius_mm = nodule.diameter_mm / 2

    distance_mm = np.sqrt(z_mm**2 + y_mm**2 + x_mm**2)
    without = (hu - added_hu)[box][distance_mm < radius_mm]

    assert np.median(without) == pytest.approx(LUNG_HU, abs=40)
    assert (without < -500).mean() > 0.85


def test_one_nodule_touches_the_pleura(phantom, hu):
    nodule = NODULES[2]
    box, (z_mm, y_mm, x_mm) = around_nodule(nodule, phantom)

    distance_mm = np.sqrt(z_mm**2 + y_mm**2 + x_mm**2)
    shell = hu[box][(distance_mm > nodule.diameter_mm / 2 + 1) & (distance_mm < nodule.diameter_mm / 2 + 3)]

    assert 0.05 < (shell > -200).mean() < 0.3


def test_a_solid_core_is_denser_than_its_ground_glass(phantom, hu):
    nodule = next(nodule for nodule in NODULES if nodule.core_diameter_mm)
    box, (z_mm, y_mm, x_mm) = around_nodule(nodule, phantom)

    distance_mm = np.sqrt(z_mm**2 + y_mm**2 + x_mm**2)

    assert np.median(hu[box][distance_mm < 2.5]) == pytest.approx(nodule.core_density_hu, abs=60)
    assert np.median(hu[box][(distance_mm > 6) & (distance_mm < 7.5)]) == pytest.approx(nodule.density_hu, abs=60)


def test_the_lungs_are_two_of_plausible_volume_and_density(hu):
    lungs = lung_mask(hu)
    litres = [half.sum() * 2.5 * 0.95**2 / 1e6 for half in (lungs[:, :, :192], lungs[:, :, 192:])]
    in_lung = hu[ndimage.binary_erosion(lungs, iterations=2) & (hu < -700)]

    assert 4 < sum(litres) < 6
    assert 1.05 < litres[0] / litres[1] < 1.5  # the heart takes its room on the left
    assert np.median(in_lung) == pytest.approx(LUNG_HU, abs=15)
    assert 25 < in_lung.std() < 70


def test_the_lungs_reach_from_apex_to_diaphragm(phantom, hu):
    z_mm = np.array([ds.ImagePositionPatient[2] for ds in phantom.datasets], float)

    area_cm2 = lung_mask(hu).sum(axis=(1, 2)) * 0.95**2 / 100

    assert area_cm2[np.abs(z_mm) < 60].min() > 200
    assert area_cm2[np.abs(z_mm - 110) < 3].min() > 40
    assert area_cm2[np.abs(z_mm + 105) < 3].max() < 100


def test_the_heart_lies_between_the_lungs_and_the_spine_behind_it(phantom, hu):
    assert hu_at(phantom, hu, (24, -30, -50)) == pytest.approx(42, abs=15)
    assert hu_at(phantom, hu, (0, 74, 10)) > 120
    assert hu_at(phantom, hu, (0, 14, 80)) == pytest.approx(-1000, abs=40)  # trachea
    assert hu_at(phantom, hu, (-70, 0, -110)) == pytest.approx(62, abs=15)  # liver


@pytest.mark.parametrize(
    "grid", [SMALL, {"slices": 30, "spacing_mm": 1.0, "pixel_spacing_mm": 0.8, "size_px": 256}], ids=["coarse", "fine"]
)
def test_other_grids_show_lung_too(grid):
    phantom = phantom_study(**grid)

    assert hu_at(phantom, hu_of(phantom), (-90, 0, 0), 6) == pytest.approx(LUNG_HU, abs=60)


def test_dciodvfy_finds_no_error_in_a_slice(phantom, tmp_path):
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy isn't installed (Debian package dicom3tools)")
    (path,) = save_study([phantom.datasets[50]], tmp_path)

    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, timeout=60, check=False).stderr

    assert "CTImage" in said
    assert "Error" not in said, said


def hu_of(phantom: PhantomStudy) -> NDArray[np.int16]:
    planes = [np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns) for ds in phantom.datasets]
    return np.stack(planes).astype(np.int16) + np.int16(phantom.datasets[0].RescaleIntercept)


def around_nodule(nodule: PhantomNodule, phantom: PhantomStudy) -> tuple[tuple[slice, ...], list[NDArray[np.float64]]]:
    return around(nodule.centre_lps_mm, nodule.diameter_mm / 2 + 8, phantom)


def around(centre_lps_mm: Point, reach_mm: float, phantom: PhantomStudy) -> tuple[tuple[slice, ...], list[NDArray[np.float64]]]:
    """A box, and its voxels' offsets from the centre along slices, rows and columns, mm."""
    first = phantom.datasets[0]
    spacings = (float(first.SliceThickness), *map(float, first.PixelSpacing))
    box, offsets = [], []
    for axis, (spacing, origin, centre) in enumerate(
        zip(spacings, map(float, reversed(first.ImagePositionPatient)), reversed(centre_lps_mm), strict=True)
    ):
        low, high = (round((centre + side * reach_mm - origin) / spacing) for side in (-1, 1))
        box.append(slice(low, high + 1))
        shape = [-1 if axis == other else 1 for other in range(3)]
        offsets.append((np.arange(low, high + 1) * spacing + origin - centre).reshape(shape))
    return tuple(box), offsets


def contrast_hu(nodule: PhantomNodule) -> float:
    """Mean contrast with the lung, the core counted by its share of the volume."""
    core = (nodule.core_diameter_mm / nodule.diameter_mm) ** 3
    return (1 - core) * nodule.density_hu + core * nodule.core_density_hu - LUNG_HU


def lung_mask(hu: NDArray[np.int16]) -> NDArray[np.bool_]:
    """The largest piece of air that doesn't touch the edge of the planes."""
    labels, _ = ndimage.label(hu < -500)
    edges = np.concatenate([labels[:, edge].ravel() for edge in (0, -1)] + [labels[:, :, edge].ravel() for edge in (0, -1)])
    sizes = np.bincount(labels.ravel())
    sizes[np.unique(edges)] = 0
    sizes[0] = 0
    return labels == sizes.argmax()


def hu_at(phantom: PhantomStudy, hu: NDArray[np.int16], centre_lps_mm: Point, reach_mm: float = 4) -> float:
    box, _ = around(centre_lps_mm, reach_mm, phantom)
    return float(np.median(hu[box]))
