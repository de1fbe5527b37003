"""The input guard on what is made here: a chest that gets worse until it is refused, and things that are no chest."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cad_node.errors import Refusal, UnusableSeries
from cad_node.findings import Caution
from cad_node.imaging.quality import measure_quality
from cad_node.imaging.scope import judge
from cad_node.imaging.volume import Volume
from cad_node.scope_limits import Scope
from tests.factory import ct_study
from tests.imaging.phantom_volume import PIXEL_SPACING_MM, SPACING_MM, mirrored, phantom_volume


def refusal(volume: Volume, scope: Scope | None = None) -> UnusableSeries:
    with pytest.raises(UnusableSeries) as caught:
        judge(volume, scope or Scope())
    assert "send" in caught.value.sentence, "what to do"
    return caught.value


def remarked(volume: Volume) -> set[Caution]:
    return {remark.code for remark in judge(volume, Scope())}


def with_voxels(voxels: np.ndarray) -> Volume:
    """The chest phantom's headers and grid with other voxels."""
    chest = phantom_volume()
    return Volume(np.clip(voxels, -1024, 3071).astype(np.int16), chest.affine, chest.sources[:1] * len(voxels))


@functools.cache
def white_noise() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((50, 384, 384), np.float32)


def noisy(sd_hu: float) -> Volume:
    """Every other slice, for speed: a short chest."""
    return with_voxels(phantom_volume().voxels[::2] + sd_hu * white_noise())


def cylinder(inside_hu: float, noise_hu: float = 15.0) -> np.ndarray:
    """A water phantom of 200 mm in air."""
    rows, columns = np.indices((300, 300)) - 150
    plane = np.where(np.hypot(rows, columns) * PIXEL_SPACING_MM < 100, inside_hu, -1000.0)
    return plane + np.random.default_rng(4).normal(0, noise_hu, (60, 300, 300))


def test_a_chest_passes_without_remark():
    assert judge(phantom_volume(), Scope()) == ()


def test_a_patient_who_lay_the_other_way_round_passes():
    assert remarked(mirrored(phantom_volume())) == set()


def test_noise_is_measured_remarked_and_in_the_end_refused():
    found = {sd_hu: measure_quality(noisy(sd_hu)).noise_hu for sd_hu in (60, 100, 200)}

    assert found[60] == pytest.approx(np.hypot(60, 24), rel=0.15)  # the phantom has its own
    assert found[200] == pytest.approx(200, rel=0.1)
    assert Caution.NOISE not in remarked(noisy(40))
    assert Caution.NOISE in remarked(noisy(100))
    assert refusal(noisy(200)).code is Refusal.TOO_NOISY
    assert "limit 150" in refusal(noisy(200)).sentence


@settings(max_examples=5, deadline=None)
@given(st.floats(0, 300))
def test_noise_never_hides_the_chest(sd_hu):
    try:
        judge(noisy(sd_hu), Scope(noise_hu=1000))
    except UnusableSeries as exc:
        pytest.fail(f"{sd_hu:.0f} HU: {exc}")


def test_a_model_may_bear_less_noise():
    assert refusal(noisy(60), Scope(noise_hu=50)).code is Refusal.TOO_NOISY


@pytest.mark.parametrize(("sigma_mm", "sharp"), [(0.0, True), (0.3, True), (0.7, False), (1.2, False)])
def test_the_kernels_sharpness_is_read_off_the_grain_of_the_noise(sigma_mm, sharp):
    white = np.random.default_rng(5).standard_normal((20, 300, 300)).astype(np.float32)
    grain = ndimage.gaussian_filter(white, (0, sigma_mm / PIXEL_SPACING_MM, sigma_mm / PIXEL_SPACING_MM)) if sigma_mm else white
    tissue = with_voxels(40 + 30 * grain / grain.std())

    grain_mm = measure_quality(tissue).grain_mm

    assert (grain_mm < Scope().remark_grain_mm) == sharp


def test_a_sharp_kernel_is_remarked_with_its_name():
    voxels = phantom_volume().voxels.astype(np.float32)
    sharpened = voxels + 2 * (voxels - ndimage.gaussian_filter(voxels, (0, 1, 1)))

    (remark,) = judge(with_voxels(sharpened), Scope(remark_noise_hu=1000))

    assert remark.code is Caution.SHARP_KERNEL
    assert "STANDARD" in remark.sentence


def test_contrast_agent_is_seen_in_heart_and_vessels():
    voxels = phantom_volume().voxels
    coarse = ndimage.uniform_filter(voxels.astype(np.float32), 5)
    soft = (coarse > 20) & (coarse < 80)
    middle = np.zeros_like(soft)
    middle[:, 130:230, 140:250] = True

    assert Caution.CONTRAST_AGENT in remarked(with_voxels(np.where(soft & middle, voxels + 200, voxels)))


@pytest.mark.parametrize("cut_px", [100, 120])
def test_a_field_of_view_that_cuts_the_lungs_is_refused(cut_px):
    chest = phantom_volume()

    refused = refusal(replace(chest, voxels=chest.voxels[:, cut_px:-cut_px, cut_px:-cut_px]))

    assert refused.code is Refusal.FIELD_OF_VIEW_CUT
    assert "cm²" in refused.sentence


def test_a_field_of_view_that_cuts_the_skin_alone_passes():
    chest = phantom_volume()

    assert remarked(replace(chest, voxels=chest.voxels[:, 40:-40, 45:-45])) == set()


def test_a_round_field_of_view_with_padding_passes():
    chest = phantom_volume()
    rows, columns = np.indices(chest.voxels.shape[1:]) - 192
    padded = np.where(np.hypot(rows, columns) < 190, chest.voxels, -2000).astype(np.int16)

    assert remarked(replace(chest, voxels=padded)) == set()


@pytest.mark.parametrize("kept", [slice(None, 55), slice(45, None)], ids=["lower half", "upper half"])
def test_half_a_chest_is_refused(kept):
    chest = phantom_volume()

    refused = refusal(replace(chest, voxels=chest.voxels[kept], sources=chest.sources[kept]))

    assert refused.code is Refusal.FIELD_OF_VIEW_CUT
    assert "largest section" in refused.sentence


@pytest.mark.parametrize("noise_hu", [0.0, 15.0, 100.0])
def test_a_water_phantom_is_refused(noise_hu):
    assert refusal(with_voxels(cylinder(0.0, noise_hu))).code is Refusal.PHANTOM


def test_a_phantom_with_inserts_is_refused():
    voxels = cylinder(40.0)
    for angle, hu in enumerate((-1000, -200, -100, 120, 340, 990)):  # the sensitometry of an image quality phantom
        row, column = (150 + 60 * np.array([np.sin(angle), np.cos(angle)])).astype(int)
        voxels[:, row - 7 : row + 7, column - 7 : column + 7] = hu

    assert refusal(with_voxels(voxels)).code is Refusal.PHANTOM


def test_a_body_without_lungs_is_refused():
    voxels = phantom_volume().voxels
    filled = np.stack([ndimage.binary_fill_holes(plane > -300) for plane in voxels])

    refused = refusal(with_voxels(np.where(filled & (voxels < -300), 50 + voxels % 60, voxels)))

    assert refused.code is Refusal.WRONG_BODY_PART
    assert "ml of air inside the body" in refused.sentence


def test_bowel_gas_is_no_lung():
    voxels = phantom_volume().voxels
    filled = np.stack([ndimage.binary_fill_holes(plane > -300) for plane in voxels])

    refused = refusal(with_voxels(np.where(filled & (voxels < -300), -1000, voxels)))

    assert refused.code is Refusal.WRONG_BODY_PART
    assert "lungs have -960 to -450" in refused.sentence


@pytest.mark.parametrize("hu", [-1000, 0, 40, 3000])
def test_an_image_of_nothing_is_refused(hu):
    assert refusal(with_voxels(np.full((40, 200, 200), hu))).code in (Refusal.VALUES_NOT_HU, Refusal.PHANTOM, Refusal.NOT_A_VOLUME)


def test_slices_in_disorder_are_refused():
    chest = phantom_volume()  # smooth along the patient, so that likeness alone may not tell
    order = np.random.default_rng(6).permutation(len(chest.voxels))

    assert refusal(replace(chest, voxels=chest.voxels[order])).code in (Refusal.NOT_A_VOLUME, Refusal.FIELD_OF_VIEW_CUT)


def test_two_slices_are_judged_without_error():
    datasets = ct_study(slices=2)
    voxels = np.stack([np.frombuffer(ds.PixelData, "<i2").reshape(64, 64) - 1024 for ds in datasets])

    refusal(Volume(voxels.astype(np.int16), np.diag([SPACING_MM, 0.7, 0.7, 1.0])[[2, 1, 0, 3]], tuple(datasets)))
