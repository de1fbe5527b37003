"""Chest CT from volume to findings, with the networks that are shipped, on the phantom and on a real scan."""

import math
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cad_node.findings import Finding, Findings
from cad_node.imaging.concepts import LEFT_LUNG, RIGHT_LUNG
from cad_node.inference.analyse_lungs import analyse_lungs
from cad_node.inference.detect_nodules import NODULE_EVIDENCE
from cad_node.inference.judge_nodules import SUSPICION_EVIDENCE
from cad_node.inference.model import OWN, Model, load_model
from cad_node.inference.network import Network
from cad_node.manifest import Manifest, read_model
from cad_node.phantom import NODULES
from tests.imaging.phantom_volume import mirrored, phantom_volume
from tests.imaging.series import load_files
from tests.shipped_models import LUNG_NODULES

DATA = os.environ.get("CAD_NODE_DATA")
LARGE = [nodule for nodule in NODULES if nodule.diameter_mm >= 8]  # smaller ones are uncertain on this coarse grid


@dataclass(frozen=True)
class Sure:
    """The detector's network, sure of every candidate."""

    parameters: dict[str, float]

    def run(self, inputs):
        return {"scores": np.full(len(inputs), 0.9, np.float32), "activation": np.zeros((len(inputs), *inputs.shape[2:]), np.float32)}


@dataclass(frozen=True)
class Placeless:
    """A network that doesn't tell what each place added."""

    network: Network

    @property
    def parameters(self):
        return self.network.parameters

    def run(self, inputs):
        return {name: array for name, array in self.network.run(inputs).items() if name != "activation"}


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(read_model(LUNG_NODULES), "cpu", 1)


@pytest.fixture(scope="module")
def found(model) -> Findings:
    return analyse_lungs(phantom_volume(), model.manifest, model.networks)


@pytest.fixture(scope="module")
def crowded(model) -> tuple[Finding, ...]:
    """What is found where the detector is sure of everything, and the judgement doesn't tell places."""
    networks = {**model.networks, OWN: Sure(dict(model.networks[OWN].parameters)), "malignancy": Placeless(model.networks["malignancy"])}
    return analyse_lungs(phantom_volume(), with_limit(model.manifest, 30), networks).findings


def nearest(findings, centre_lps_mm):
    return min(findings, key=lambda finding: math.dist(finding.centre_lps_mm, centre_lps_mm))


def with_limit(manifest: Manifest, limit: int) -> Manifest:
    return manifest.model_copy(update={"output": manifest.output.model_copy(update={"limit": limit})})


@pytest.mark.parametrize("nodule", LARGE, ids=lambda nodule: f"{nodule.diameter_mm:.0f} mm")
def test_a_nodule_is_found_with_its_place_size_and_side(found, nodule):
    finding = nearest(found.findings, nodule.centre_lps_mm)

    assert math.dist(finding.centre_lps_mm, nodule.centre_lps_mm) < 3
    assert finding.site == (LEFT_LUNG if nodule.centre_lps_mm[0] > 0 else RIGHT_LUNG)
    assert finding.code.value == "27925004"
    if not nodule.core_diameter_mm:
        assert finding.volume_mm3 == pytest.approx(nodule.volume_mm3, rel=0.25)
        assert finding.diameter_mm == pytest.approx(nodule.diameter_mm, abs=1.5)


def test_findings_are_numbered_by_falling_score_and_are_within_what_the_manifest_allows(found, model):
    scores = [finding.score for finding in found.findings]

    assert [finding.label for finding in found.findings] == [f"Nodule {number}" for number in range(1, len(scores) + 1)]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= model.networks[OWN].parameters["threshold"]
    assert len(scores) <= model.manifest.output.limit
    assert all(model.manifest.output.diameter_mm.holds(finding.diameter_mm) for finding in found.findings)


def test_every_finding_carries_measurements_and_the_readers_likely_opinion(found):
    for finding in found.findings:
        named = {measurement.concept.meaning for measurement in finding.measurements}

        assert any("malignan" in meaning.lower() for meaning in named)
        assert len(finding.measurements) > 5
        assert finding.evaluations


def test_every_finding_carries_the_heat_of_the_judgement_on_it_warmest_at_the_nodule(found):
    for finding in found.findings:
        heat = finding.heat
        warmest = np.add(np.unravel_index(heat.values.argmax(), heat.values.shape), heat.origin)

        assert heat.meaning == SUSPICION_EVIDENCE
        assert math.dist(phantom_volume().to_lps(warmest), finding.centre_lps_mm) < finding.diameter_mm


def test_both_lungs_are_organs_with_their_volumes(found):
    assert [(organ.label, organ.code) for organ in found.organs] == [("Left lung", LEFT_LUNG), ("Right lung", RIGHT_LUNG)]
    assert all(organ.measurements for organ in found.organs)
    assert found.measurements


def test_no_voxel_belongs_to_two_findings_and_the_limit_is_kept(crowded):
    owners = np.zeros(phantom_volume().voxels.shape, np.uint8)
    for finding in crowded:
        owners[finding.region.slices] += finding.region.mask
    assert 12 < len(crowded) <= 30
    assert owners.max() == 1


def test_where_the_judgement_tells_no_place_the_heat_is_the_detection_s(crowded):
    assert {finding.heat.meaning for finding in crowded} == {NODULE_EVIDENCE}


def test_nothing_over_the_threshold_is_a_result_with_lungs_and_no_findings(model):
    out_of_reach = {**model.networks, OWN: Sure({**model.networks[OWN].parameters, "threshold": 0.95})}

    result = analyse_lungs(phantom_volume(), model.manifest, out_of_reach)

    assert result.findings == ()
    assert len(result.organs) == 2


def test_a_mirrored_image_gives_the_nodules_on_the_same_sides(found, model):
    turned = analyse_lungs(mirrored(phantom_volume()), model.manifest, model.networks)

    for nodule in LARGE:
        here, there = (nearest(result.findings, nodule.centre_lps_mm) for result in (found, turned))
        assert math.dist(here.centre_lps_mm, there.centre_lps_mm) < 1.5
        assert here.site == there.site


def test_the_same_volume_gives_the_same_findings(found, model):
    again = analyse_lungs(phantom_volume(), model.manifest, model.networks)

    assert [(f.label, f.score, f.centre_lps_mm, f.volume_mm3, f.measurements) for f in again.findings] == [
        (f.label, f.score, f.centre_lps_mm, f.volume_mm3, f.measurements) for f in found.findings
    ]


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="CAD_NODE_DATA names no folder of real scans")
def test_the_half_precision_networks_find_the_same_real_nodule(model, tmp_path):
    half = load_model(read_model(LUNG_NODULES), "cpu", 1, half=True)
    subprocess.run([Path(DATA or "") / "unpack", "lidc_idri_0314", tmp_path], check=True, capture_output=True)
    volume = load_files(sorted(tmp_path.rglob("*.dcm")))

    whole_found, half_found = (analyse_lungs(volume, one.manifest, one.networks) for one in (model, half))

    truth = (-57.44, 131.23, -520.36)
    first, second = (nearest(found.findings, truth) for found in (whole_found, half_found))
    assert math.dist(first.centre_lps_mm, truth) < 4
    assert math.dist(first.centre_lps_mm, second.centre_lps_mm) < 0.5
    assert second.score == pytest.approx(first.score, abs=0.02)
    assert second.volume_mm3 == pytest.approx(first.volume_mm3, rel=0.02)
