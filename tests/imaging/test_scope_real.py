"""Real series before the input guard: every chest CT passes, everything else is refused, also where its tags lie."""

import os
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from cad_node.errors import Refusal, UnusableSeries
from cad_node.findings import Caution
from cad_node.imaging.load import load_volume
from cad_node.imaging.scope import judge
from cad_node.imaging.volume import Volume
from cad_node.manifest import Range
from cad_node.scope_limits import Scope
from cad_node.study import Instance, Series, Study
from tests.factory import altered, ct_study, save_study
from tests.imaging import real_series
from tests.imaging.phantom_volume import phantom_volume
from tests.imaging.series import series_of
from tests.output.case import manifest

DATA = Path(os.environ.get("CAD_NODE_DATA", ""))
pytestmark = pytest.mark.skipif(Path() == DATA, reason="CAD_NODE_DATA names no folder of real images")
ANY_MM = Range(min=0.1, max=20)
HEAD_WINDOWS = {"brain": (80 / 255, 0), "brain, air outside": (80 / 255, 0), "wide": (1424 / 255, -1024)}


def loaded(datasets: list[Dataset], folder: Path) -> Volume:
    """Through files and the loader, which takes any spacing here."""
    return load_volume(series_of(save_study(datasets, folder)), ANY_MM, ANY_MM)


def ct_of(voxels: np.ndarray, slice_mm: float, pixel_mm: float, folder: Path | None = None) -> Volume:
    """An array as a CT series whose tags say that it is an axial chest; without a folder past the files: ten times as fast."""
    voxels = voxels.astype(np.int16)
    if folder:
        return loaded(ct_study(spacing_mm=slice_mm, pixel_spacing_mm=pixel_mm, voxels=voxels), folder)
    (header,) = ct_study(spacing_mm=slice_mm, pixel_spacing_mm=pixel_mm, voxels=voxels[:1])
    return Volume(voxels, np.diag([slice_mm, pixel_mm, pixel_mm, 1.0])[[2, 1, 0, 3]], (header,) * len(voxels))


def refusal(volume: Volume) -> UnusableSeries:
    with pytest.raises(UnusableSeries) as caught:
        judge(volume, Scope())
    assert "send" in caught.value.sentence, "what to do"
    return caught.value


def choice(datasets: list[Dataset]):
    """What the manifest of a chest CT model says of a study that holds this series alone."""
    instances = tuple(
        Instance(
            str(ds.SOPInstanceUID),
            str(ds.SOPClassUID),
            "",
            Path(),
            {"BodyPartExamined": ds.get("BodyPartExamined", ""), "ImageType": list(ds.get("ImageType") or [])},
        )
        for ds in datasets
    )
    return manifest("Lungs").choose(Study("1.2", 1, (Series("1.2.3", str(datasets[0].get("Modality", "")), instances),)))


@pytest.mark.slow
def test_the_chest_ct_of_275_slices_passes():
    remarks = judge(_volume(real_series.datasets_of(next((DATA / "lidc_idri_0314").glob("*.tar.xz")))), Scope())

    assert [remark.code for remark in remarks] == [Caution.SHARP_KERNEL]


def test_the_chest_ct_of_thick_slices_passes_with_a_remark(tmp_path):
    remarks = judge(loaded(real_series.datasets_of(next((DATA / "lung_pet_ct_dx").glob("*.tar.xz"))), tmp_path), Scope())

    assert [remark.code for remark in remarks] == [Caution.THICK_SLICES, Caution.SHARP_KERNEL]


def test_the_box_of_the_lungs_passes_and_its_contrast_agent_is_seen(tmp_path):
    voxels, spacing = real_series.volume_of_lidc_0003(DATA)

    remarks = judge(ct_of(voxels, *spacing, tmp_path), Scope())

    assert [remark.code for remark in remarks] == [Caution.CONTRAST_AGENT]


@pytest.mark.parametrize(("volumes", "count"), [(real_series.volumes_of_lctsc, 12), (real_series.volumes_of_lung3d, 4)])
def test_chest_cts_of_other_hospitals_pass(volumes, count, tmp_path):
    judged = {
        name: judge(ct_of(voxels, *spacing, tmp_path / name if "1" in name else None), Scope()) for name, voxels, spacing in volumes(DATA)
    }

    assert len(judged) == count
    assert {remark.code for remarks in judged.values() for remark in remarks} <= {Caution.THICK_SLICES, Caution.CONTRAST_AGENT}


def test_the_demonstrations_phantom_passes():
    assert judge(phantom_volume(), Scope()) == ()


@pytest.mark.parametrize("window", HEAD_WINDOWS)
def test_heads_that_call_themselves_chests_are_refused(window, tmp_path):
    slope, intercept = HEAD_WINDOWS[window]
    refused = {}
    for patient, grey in real_series.heads_of_ich(DATA):
        hu = np.where((grey == 0) & ("air" in window), -1000, grey * slope + intercept)
        refused[patient] = refusal(ct_of(hu, 5.0, 1.0, tmp_path / patient if len(refused) < 2 else None)).code

    assert len(refused) == 82
    assert set(refused.values()) <= {Refusal.VALUES_NOT_HU, Refusal.WRONG_BODY_PART, Refusal.TOO_NOISY}


def test_a_brain_mr_is_refused_by_its_tags():
    datasets = real_series.datasets_of(next((DATA / "brain_mr_sag").glob("*.tar.xz")))

    assert "modality MR, wanted CT" in choice(datasets).sentence


@pytest.mark.parametrize(("scale", "spacing_mm"), [(1, (0.9, 0.86)), (3, (0.9, 0.86)), (4, (2.0, 1.5))])
@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0)], ids=["as stored", "axial"])
def test_a_brain_mr_that_calls_itself_a_chest_ct_is_refused(scale, spacing_mm, axes, tmp_path):
    datasets = real_series.datasets_of(next((DATA / "brain_mr_sag").glob("*.tar.xz")))
    values = np.stack([ds.pixel_array for ds in datasets]).transpose(axes).astype(np.int32)

    refused = refusal(ct_of(values * scale - 1024, *spacing_mm, tmp_path))

    assert refused.code in (Refusal.VALUES_NOT_HU, Refusal.WRONG_BODY_PART, Refusal.NOT_A_VOLUME, Refusal.TOO_NOISY)


@pytest.mark.parametrize(
    ("file", "modality"), [("fodicom_GH133_MG_GE.dcm", "MG"), ("xrv_rsna_cxr.dcm", "CR"), ("highdicom/dx_image.dcm", "DX")]
)
def test_x_rays_are_refused_by_their_tags(file, modality):
    ds = dcmread(DATA / "dicom_objects" / file, stop_before_pixels=True)

    assert f"modality {modality}, wanted CT" in choice([ds]).sentence


@pytest.mark.parametrize("file", ["fodicom_GH133_MG_GE.dcm", "xrv_rsna_cxr.dcm", "highdicom/dx_image.dcm"])
def test_an_x_ray_repeated_as_slices_of_a_chest_ct_is_refused(file, tmp_path):
    ds = dcmread(DATA / "dicom_objects" / file)
    pixels = ds.pixel_array.astype(np.float32)
    pixels = pixels[:: max(1, pixels.shape[0] // 400), :: max(1, pixels.shape[1] // 400)]
    hu = pixels / pixels.max() * 1424 - 1024

    refused = refusal(ct_of(np.repeat(hu[None], 60, axis=0), 5.0, 0.9, tmp_path))

    assert refused.code in (Refusal.NOT_A_VOLUME, Refusal.VALUES_NOT_HU)


def test_chest_x_rays_are_refused_by_their_tags_each():
    (ds,) = ct_study(slices=1)

    said = {modality: choice([altered(ds, Modality=modality)]).sentence for modality in ("CR", "DX", "US")}

    assert all(f"modality {modality}, wanted CT" in sentence for modality, sentence in said.items())


def test_chest_x_rays_stacked_as_a_chest_ct_are_refused(tmp_path):
    grey = real_series.chest_x_rays(DATA)
    hu = grey * (1424 / 255) - 1024

    of_many = refusal(ct_of(hu, 5.0, 1.4, tmp_path / "many"))
    of_each = {refusal(ct_of(np.repeat(one[None], 40, axis=0), 5.0, 1.4)).code for one in hu}

    assert len(grey) == 57
    assert of_many.code is Refusal.NOT_A_VOLUME
    assert of_each <= {Refusal.NOT_A_VOLUME, Refusal.VALUES_NOT_HU, Refusal.PHANTOM}


def test_breast_ultrasounds_stacked_as_a_chest_ct_are_refused():
    grey = real_series.breast_ultrasounds(DATA)

    refused = {refusal(ct_of(grey[start : start + 60] * (1424 / 255) - 1024, 3.0, 10.0)).code for start in range(0, 780, 60)}

    assert refused <= {Refusal.NOT_A_VOLUME, Refusal.VALUES_NOT_HU}


def _volume(datasets: list[Dataset]) -> Volume:
    """What the loader makes of datasets that it needn't sort or check: its own tests read this scan from files."""
    voxels = np.stack([ds.pixel_array.astype(np.int16) * int(ds.RescaleSlope) + int(ds.RescaleIntercept) for ds in datasets])
    first, second = datasets[0], datasets[1]
    affine = np.eye(4)
    affine[:3, 0] = np.subtract(second.ImagePositionPatient, first.ImagePositionPatient)
    affine[:3, 1] = np.multiply(first.ImageOrientationPatient[3:], first.PixelSpacing[0])
    affine[:3, 2] = np.multiply(first.ImageOrientationPatient[:3], first.PixelSpacing[1])
    affine[:3, 3] = first.ImagePositionPatient
    return Volume(voxels, affine, tuple(datasets))
