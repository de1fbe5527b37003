"""What readers would likely say of a nodule comes out in codes, and "indeterminate" is among the answers."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from cad_node.findings import Region
from cad_node.imaging.heat import PER_CM2
from cad_node.imaging.nodule_slabs import cut_judgement_slab
from cad_node.imaging.nodules import region_of
from cad_node.inference.judge_nodules import (
    ABSENT,
    CALCIFICATION,
    INDETERMINATE,
    LEARNT_FROM_READERS,
    NON_SOLID,
    PART_SOLID,
    PRESENT,
    SOLID,
    SPICULATED,
    SUSPICION,
    SUSPICION_EVIDENCE,
    SUSPICIOUS,
    TEXTURE,
    UNSUSPICIOUS,
    judge_nodule,
)
from cad_node.inference.network import load_network
from cad_node.manifest import read_model
from tests.imaging.geometry import ball, volume_of
from tests.shipped_models import LUNG_NODULES

SPACING_MM = (1.25, 0.7, 0.7)
SHAPE = (20, 80, 80)
SURE = {"malignancy": 0.93, "spread": 0.02, "texture": 4.8, "spiculation": 3.4, "calcification": 0.1}


@dataclass
class Opinion:
    """A network that says the same of every slab, and remembers what it was shown."""

    outputs: dict[str, float]
    parameters: dict[str, float] = field(default_factory=lambda: {"uncertain_from": 0.4, "uncertain_to": 0.6, "uncertain_spread": 0.1})
    shown: list[np.ndarray] = field(default_factory=list)

    def run(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        self.shown.append(inputs)
        return {name: np.full(len(inputs), value, np.float32) for name, value in self.outputs.items()}


def nodule():
    mask = ball(SHAPE, SPACING_MM, (10, 40, 40), 5)
    volume = volume_of(np.where(mask, 40, -860), SPACING_MM)
    return volume, Region((0, 0, 0), mask)


@pytest.fixture(scope="module")
def shipped():
    return load_network(read_model(LUNG_NODULES).parts["malignancy"], "cpu", 1)


def judged(**outputs: float):
    return judge_nodule(*nodule(), Opinion({**SURE, **outputs}))


def evaluation(judgement, concept):
    return next(evaluation.value for evaluation in judgement.evaluations if evaluation.concept == concept)


def test_the_network_is_shown_the_cut_that_it_was_trained_on():
    volume, region = nodule()
    network = Opinion(SURE)

    judge_nodule(volume, region, network)

    (shown,) = network.shown
    assert shown.dtype == np.float32
    assert np.array_equal(shown, cut_judgement_slab(volume.voxels, volume.spacing_mm, region)[None])


def test_suspicion_and_the_members_disagreement_are_percent_that_say_they_are_opinions():
    suspicion, spread = judged().measurements

    assert (suspicion.concept, suspicion.value, suspicion.unit.value) == (SUSPICION, 93.0, "%")
    assert (spread.concept, spread.value, spread.derivation.meaning) == (SUSPICION, 2.0, "Standard Deviation")
    assert {suspicion.method, spread.method} == {LEARNT_FROM_READERS}


@pytest.mark.parametrize(
    ("malignancy", "spread", "answer"),
    [
        (0.93, 0.02, SUSPICIOUS),
        (0.07, 0.02, UNSUSPICIOUS),
        (0.60, 0.10, SUSPICIOUS),
        (0.40, 0.10, UNSUSPICIOUS),
        (0.59, 0.02, INDETERMINATE),
        (0.41, 0.02, INDETERMINATE),
        (0.93, 0.11, INDETERMINATE),
    ],
)
def test_uncertain_is_an_answer(malignancy, spread, answer):
    network = Opinion({**SURE, "malignancy": np.float32(malignancy), "spread": np.float32(spread)})
    network.parameters = {name: float(np.float32(value)) for name, value in network.parameters.items()}

    judgement = judge_nodule(*nodule(), network)

    assert judgement.certain == (answer is not INDETERMINATE)
    assert evaluation(judgement, SUSPICION) == answer


@pytest.mark.parametrize(("rating", "word"), [(1.2, NON_SOLID), (3.0, PART_SOLID), (4.7, SOLID)])
def test_texture_is_named(rating, word):
    assert evaluation(judged(texture=rating), TEXTURE) == word


@pytest.mark.parametrize(("rating", "word"), [(1.3, ABSENT), (3.4, PRESENT)])
def test_spiculation_is_told_present_or_absent(rating, word):
    assert evaluation(judged(spiculation=rating), SPICULATED) == word


@pytest.mark.parametrize(("share", "word"), [(0.2, ABSENT), (0.8, PRESENT)])
def test_calcification_is_told_present_or_absent(share, word):
    assert evaluation(judged(calcification=share), CALCIFICATION) == word


def test_a_network_that_tells_no_place_gives_no_heat():
    assert judged().heat is None


@pytest.mark.parametrize(("diameter_mm", "density_hu"), [(6, 40), (12, -300), (24, 60)])
def test_the_heat_adds_up_to_the_logit_of_the_suspicion(shipped, diameter_mm, density_hu):
    mask = ball(SHAPE, SPACING_MM, (10, 40, 40), diameter_mm / 2)
    volume = volume_of(np.where(mask, density_hu, -860), SPACING_MM)

    judgement = judge_nodule(volume, region_of(mask, (0, 0, 0)), shipped)

    pixel_cm2 = SPACING_MM[1] * SPACING_MM[2] / 100
    logit = judgement.heat.values[0].sum() * pixel_cm2 + shipped.parameters["calibration_offset"]
    assert (judgement.heat.meaning, judgement.heat.unit) == (SUSPICION_EVIDENCE, PER_CM2)
    assert 1 / (1 + np.exp(-logit)) == pytest.approx(judgement.malignancy, abs=0.01)


def test_the_heat_has_its_middle_in_the_nodule_and_goes_with_it(shipped):
    masks = [ball(SHAPE, SPACING_MM, centre, 7) for centre in ((8, 38, 42), (11, 45, 36))]

    here, there = (
        judge_nodule(volume_of(np.where(mask, 40, -860), SPACING_MM), region_of(mask, (0, 0, 0)), shipped).heat for mask in masks
    )

    assert np.subtract(there.origin, here.origin).tolist() == [3, 7, -6]
    np.testing.assert_allclose(there.values, here.values, atol=1e-4)
    for heat, mask in ((here, masks[0]), (there, masks[1])):
        assert mask[tuple(np.round(warm_middle(heat)).astype(int))]


def warm_middle(heat):
    """Centroid of what speaks for, (slice, row, column) of the volume."""
    warmth = np.clip(heat.values, 0, None).ravel()
    return np.indices(heat.values.shape).reshape(3, -1) @ warmth / warmth.sum() + heat.origin
