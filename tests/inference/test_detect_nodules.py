"""The nodule task from volume to findings, with a stand-in for the network."""

import math
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cad_node.inference.detect_nodules import LEFT_LUNG, RIGHT_LUNG, detect_nodules
from cad_node.inference.model import load_model
from cad_node.manifest import Manifest, ModelFolder, read_manifest
from cad_node.phantom import NODULES
from cad_node.shipped import shipped
from tests.imaging.phantom_volume import mirrored, phantom_volume
from tests.imaging.series import load_files

DATA = os.environ.get("CAD_NODE_DATA")

SHIPPED = shipped("models") / "lung_nodule_ct" / "1.0.0"
SOLID = [nodule for nodule in NODULES if not nodule.core_diameter_mm]


def manifest(threshold: float = 0.5, limit: int = 12) -> Manifest:
    shipped_manifest = read_manifest(SHIPPED)
    return shipped_manifest.model_copy(
        update={"output": shipped_manifest.output.model_copy(update={"threshold": threshold, "limit": limit})}
    )


def bright_in_the_middle(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """A stand-in for the network: vessels score as high as nodules, so that many findings are made."""
    middle, around = patches[:, 0, 24:27, 24:27].mean(axis=(1, 2)), np.percentile(patches[:, 0], 25, axis=(1, 2))
    return (1 / (1 + np.exp(-(middle - around - 300) / 200))).astype(np.float32)


def constant(score: float):
    return lambda patches: np.full(len(patches), score, np.float32)


def nearest(findings, centre_lps_mm):
    return min(findings, key=lambda finding: math.dist(finding.centre_lps_mm, centre_lps_mm))


@pytest.fixture(scope="module")
def found():
    return detect_nodules(phantom_volume(), manifest(limit=80), bright_in_the_middle)


@pytest.mark.parametrize("nodule", SOLID, ids=lambda nodule: f"{nodule.diameter_mm:.0f} mm")
def test_a_nodule_is_found_with_its_place_size_and_side(found, nodule):
    finding = nearest(found.findings, nodule.centre_lps_mm)

    assert math.dist(finding.centre_lps_mm, nodule.centre_lps_mm) < 2.5
    assert finding.volume_mm3 == pytest.approx(nodule.volume_mm3, rel=0.35)
    assert finding.diameter_mm == pytest.approx(nodule.diameter_mm, rel=0.2, abs=1)
    assert finding.site == (LEFT_LUNG if nodule.centre_lps_mm[0] > 0 else RIGHT_LUNG)
    assert finding.code.value == "27925004"


def test_findings_are_numbered_by_falling_score(found):
    scores = [finding.score for finding in found.findings]

    assert [finding.label for finding in found.findings] == [f"Nodule {number}" for number in range(1, len(scores) + 1)]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 0.5


def test_both_lungs_are_organs(found):
    assert [(organ.label, organ.code.value) for organ in found.organs] == [("Left lung", "44029006"), ("Right lung", "3341006")]


def test_no_voxel_belongs_to_two_findings():
    volume = phantom_volume()

    findings = detect_nodules(volume, manifest(limit=100), constant(0.9)).findings

    owners = np.zeros(volume.voxels.shape, np.uint8)
    for finding in findings:
        owners[finding.region.slices] += finding.region.mask
    assert len(findings) > 12
    assert owners.max() == 1


def test_the_limit_is_kept():
    assert len(detect_nodules(phantom_volume(), manifest(limit=5), constant(0.9)).findings) == 5


def test_nothing_over_the_threshold_is_a_result_with_lungs_and_no_findings():
    result = detect_nodules(phantom_volume(), manifest(), constant(0.49))

    assert result.findings == ()
    assert len(result.organs) == 2


def test_a_mirrored_image_gives_the_same_findings_on_the_same_sides(found):
    turned = detect_nodules(mirrored(phantom_volume()), manifest(limit=80), bright_in_the_middle)

    for nodule in SOLID:
        here, there = (nearest(result.findings, nodule.centre_lps_mm) for result in (found, turned))
        assert math.dist(here.centre_lps_mm, there.centre_lps_mm) < 1.5
        assert here.site == there.site


@pytest.fixture(scope="module")
def found_by_the_network():
    model = load_model(ModelFolder(SHIPPED, read_manifest(SHIPPED)), "cpu")
    return detect_nodules(phantom_volume(), model.manifest, model.score)


LARGE = [nodule for nodule in NODULES if nodule.diameter_mm >= 8]  # one of 6 mm is under the threshold on this coarse grid


@pytest.mark.parametrize("nodule", LARGE, ids=lambda nodule: f"{nodule.diameter_mm:.0f} mm")
def test_the_shipped_model_finds_the_phantom_s_nodules_from_eight_millimetres_on(found_by_the_network, nodule):
    finding = nearest(found_by_the_network.findings, nodule.centre_lps_mm)

    assert math.dist(finding.centre_lps_mm, nodule.centre_lps_mm) < 3
    assert finding.site == (LEFT_LUNG if nodule.centre_lps_mm[0] > 0 else RIGHT_LUNG)


def test_the_shipped_model_reports_what_its_manifest_allows(found_by_the_network):
    output = read_manifest(SHIPPED).output

    assert len(found_by_the_network.findings) <= output.limit
    assert min(finding.score for finding in found_by_the_network.findings) >= output.threshold


def test_the_same_volume_gives_the_same_findings(found):
    again = detect_nodules(phantom_volume(), manifest(limit=80), bright_in_the_middle)

    assert [(f.label, f.score, f.centre_lps_mm, f.volume_mm3, f.region.origin) for f in again.findings] == [
        (f.label, f.score, f.centre_lps_mm, f.volume_mm3, f.region.origin) for f in found.findings
    ]


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="CAD_NODE_DATA names no folder of real scans")
def test_a_real_nodule_is_found_beside_a_collapsed_lobe(tmp_path):
    findings = found_in(Path(DATA or "") / "lidc_idri_0314" / "LIDC-IDRI-0314_275xdcm.tar.xz", tmp_path)

    finding = nearest(findings.findings, (-57.44, 131.23, -520.36))
    assert math.dist(finding.centre_lps_mm, (-57.44, 131.23, -520.36)) < 7
    assert 1300 < finding.volume_mm3 < 4300
    assert finding.site == RIGHT_LUNG
    lungs_ml = [organ.region.mask.sum() * 0.78125**2 / 1000 for organ in findings.organs]
    assert lungs_ml == pytest.approx([1927, 930], rel=0.05)


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="CAD_NODE_DATA names no folder of real scans")
def test_a_real_scan_of_five_millimetre_slices_has_findings_in_both_lungs(tmp_path):
    findings = found_in(Path(DATA or "") / "lung_pet_ct_dx" / "lung_dx_A0001_64xdcm_boxes.tar.xz", tmp_path)

    assert len(findings.organs) == 2
    tumour = nearest(findings.findings, (-48, 157, -293))
    assert tumour.diameter_mm > 15


def found_in(archive: Path, folder: Path):
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    model = load_model(ModelFolder(SHIPPED, read_manifest(SHIPPED)), "cpu")
    return detect_nodules(load_files(sorted(folder.rglob("*.dcm"))), model.manifest, model.score)


def test_the_network_is_shown_batches_of_the_manifests_size():
    shapes = []

    def score(patches):
        shapes.append(patches.shape)
        return np.zeros(len(patches), np.float32)

    detect_nodules(phantom_volume(), manifest(), score)

    assert {shape[1:] for shape in shapes} == {(1, 50, 50)}
    assert {shape[0] for shape in shapes[:-1]} <= {32}
    assert sum(shape[0] for shape in shapes) > 100
