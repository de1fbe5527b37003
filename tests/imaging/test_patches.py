"""Patches are raw HU at the source's own pixels, centred on the candidate, air beyond the image."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cad_node.imaging.patches import cut_patches
from tests.imaging.geometry import volume_of
from tests.imaging.series import load_files


def numbered(shape=(3, 40, 60)):
    return volume_of(np.arange(np.prod(shape)).reshape(shape) % 3000, (2.0, 0.7, 0.7))


def test_a_patch_holds_the_slice_around_its_centre():
    volume = numbered()

    (patch,) = cut_patches(volume, [(1.2, 20.4, 29.6)], 10)

    assert patch.dtype == np.float32
    np.testing.assert_array_equal(patch[0], volume.voxels[1, 15:25, 25:35])


@pytest.mark.parametrize("centre", [(0, 0, 0), (2, 39, 59), (1, 0, 59)])
def test_beyond_the_image_lies_air(centre):
    volume = numbered()

    (patch,) = cut_patches(volume, [centre], 50)

    padded = np.pad(volume.voxels[centre[0]], 25, constant_values=-1000)
    np.testing.assert_array_equal(patch[0], padded[centre[1] : centre[1] + 50, centre[2] : centre[2] + 50])


def test_a_slice_beyond_the_stack_is_air():
    (patch,) = cut_patches(numbered(), [(7, 20, 20)], 10)

    assert np.all(patch == -1000)


def test_no_centres_make_no_patches():
    assert cut_patches(numbered(), [], 50).shape == (0, 1, 50, 50)


@settings(max_examples=50, deadline=None)
@given(st.tuples(st.integers(-5, 8), st.integers(-60, 100), st.integers(-60, 120)), st.integers(1, 64))
def test_every_pixel_is_the_image_s_own_or_air(centre, size_px):
    volume = numbered()

    (patch,) = cut_patches(volume, [centre], size_px)

    z, y, x = centre
    padded = np.full((15, 240, 260), -1000)
    padded[6:9, 100:140, 100:160] = volume.voxels
    top, left = 100 + y - size_px // 2, 100 + x - size_px // 2
    np.testing.assert_array_equal(patch[0], padded[z + 6, top : top + size_px, left : left + size_px])


def test_the_network_is_served_what_it_was_trained_on(tmp_path):
    luna_patches = pytest.importorskip("cad_node.training.detection.luna_patches", reason="the training extra isn't installed")
    image = pytest.importorskip("PIL.Image", reason="Pillow writes the training set")
    hu = np.random.default_rng(11).integers(-1200, 700, (3, 40, 60))
    volume = volume_of(hu, (1.0, 0.7, 0.7))
    grey = np.round((np.clip(hu[1], -1000, 400) + 1000) * 255 / 1400).astype(np.uint8)
    (tmp_path / "train").mkdir()
    for number in (0, 1):
        image.fromarray(grey[:, 5:55]).save(tmp_path / "train" / f"{number}.png")
    (tmp_path / "traindatalabels.txt").write_text("train/0.png 0\ntrain/1.png 1\n")

    trained = luna_patches.read_luna_patches(tmp_path, "train").inputs
    served = cut_patches(volume, [(1, 20, 30)], 50)  # the image is lower than the patch: air above and below

    assert served.shape[1:] == trained.shape[1:]
    np.testing.assert_allclose(np.clip(served[0], -1000, 400), trained[0], atol=1400 / 255 / 2 + 1e-3)


@given(st.integers(-2000, 3000))
def test_eight_bits_of_the_window_keep_hu_within_half_a_grey_level(hu):
    luna_patches = pytest.importorskip("cad_node.training.detection.luna_patches", reason="the training extra isn't installed")

    grey = np.round((np.clip(hu, -1000, 400) - luna_patches.AIR_HU) / luna_patches.HU_PER_GREY).astype(np.uint8)
    back = grey * luna_patches.HU_PER_GREY + luna_patches.AIR_HU

    assert abs(back - np.clip(hu, -1000, 400)) <= luna_patches.HU_PER_GREY / 2 + 1e-9


@pytest.fixture(scope="module")
def scan_0314(tmp_path_factory):
    """LIDC-IDRI-0314, whose nodule two patches of LUNA16's set show."""
    if "CAD_NODE_DATA" not in os.environ:
        pytest.skip("CAD_NODE_DATA is unset: the folder of real data sets")
    data = Path(os.environ["CAD_NODE_DATA"])
    folder = tmp_path_factory.mktemp("0314")
    subprocess.run([data / "unpack", "lidc_idri_0314", folder], check=True)
    return data, load_files(sorted(folder.rglob("*.dcm")))


NODULE = (159.44, 243.4976, 183.7578)  # (slice, row, column) of LUNA16's world coordinates in this scan


@pytest.mark.slow
@pytest.mark.parametrize(
    ("split", "name", "centre"),
    [("val", "val/image_100973.jpg", NODULE), ("train", "train/image_100872.jpg", (158.0, 248.0, 190.0))],
)
def test_a_patch_cut_from_a_scan_is_the_published_patch_but_for_the_jpeg(scan_0314, split, name, centre):
    """The same slice, pixel, side and scale: any other offset of one pixel differs by several times as much."""
    luna_patches = pytest.importorskip("cad_node.training.detection.luna_patches", reason="the training extra isn't installed")
    data, volume = scan_0314
    patches = luna_patches.read_luna_patches(data, split)
    published = patches.inputs[patches.attributes["image"].tolist().index(name), 0]

    def differs(*offset: int) -> np.ndarray:
        (cut,) = cut_patches(volume, [tuple(np.add(centre, offset))], 50)
        return np.clip(cut[0], -1000, 400) - published

    here = differs(0, 0, 0)
    assert here.std() < 15  # HU: the JPEG's noise
    assert 0 < here.mean() < luna_patches.HU_PER_GREY  # whoever wrote the JPEG cut grey levels off instead of rounding them
    for offset in ((0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1), (1, 0, 0), (-1, 0, 0)):
        assert differs(*offset).std() > 3 * here.std()
    clipped = np.clip(cut_patches(volume, [centre], 50)[0, 0], -1000, 400)
    assert np.polyfit(clipped.ravel(), published.ravel(), 1)[0] == pytest.approx(1, abs=0.01)
