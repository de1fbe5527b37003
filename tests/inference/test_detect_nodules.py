"""Detections are the candidates that score, in order; each is looked at on several slices."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cad_node.imaging.candidates import Candidate
from cad_node.imaging.heat import heat_of_patches
from cad_node.imaging.patches import cut_patches
from cad_node.imaging.volume import Volume
from cad_node.inference.detect_nodules import NODULE_EVIDENCE, SPARE, detect_nodules, score_candidates
from cad_node.inference.network import load_network
from cad_node.manifest import Manifest, PartFolder, read_model
from cad_node.phantom import NODULES
from tests.imaging.geometry import volume_of
from tests.imaging.phantom_volume import index_of, phantom_lungs, phantom_volume
from tests.shipped_models import LUNG_NODULES

DENSE_HU = -400
LARGE = [nodule for nodule in NODULES if not nodule.core_diameter_mm and nodule.diameter_mm >= 8]


class Bright:
    """A stand-in for the network: the brighter the middle over its surroundings, the higher the score; what is dense counts."""

    def __init__(self, threshold: float = 0.5, patch_px: int = 50) -> None:
        self.parameters = {"threshold": threshold, "patch_px": float(patch_px)}
        self.shapes: list[tuple[int, ...]] = []

    def run(self, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        self.shapes.append(inputs.shape)
        half = inputs.shape[-1] // 2
        middle, around = (
            inputs[:, 0, half - 1 : half + 2, half - 1 : half + 2].mean(axis=(1, 2)),
            np.percentile(inputs[:, 0], 25, axis=(1, 2)),
        )
        scores = 1 / (1 + np.exp(-(middle - around - 300) / 200))
        return {"scores": scores.astype(np.float32), "activation": (inputs[:, 0] > DENSE_HU).astype(np.float32)}


def manifest(limit: int = 12) -> Manifest:
    concept = {"value": "1", "scheme": "99T", "meaning": "m"}
    table = {
        "name": "m",
        "version": "1.0.0",
        "title": "",
        "manufacturer": "",
        "task": "analyse_lungs",
        "accepts": {
            "modality": ("CT",),
            "sop_class_uid": (),
            "body_part": (),
            "slices": {"min": 1, "max": 9},
            "slice_spacing_mm": {"min": 1, "max": 9},
            "pixel_spacing_mm": {"min": 1, "max": 9},
        },
        "graph": {"sha256": "0" * 64, "input": "patches", "input_shape": ("batch", 1, 50, 50), "outputs": ("scores",)},
        "golden": {"tolerance": 1e-4},
        "candidates": {"diameter_mm": {"min": 3, "max": 40}, "limit": 200},
        "output": {"meaning": concept, "finding": concept, "site": concept, "diameter_mm": {"min": 3, "max": 100}, "limit": limit},
    }
    return Manifest.model_validate(table)


@pytest.fixture(scope="module")
def detections():
    return detect_nodules(phantom_volume(), phantom_lungs(), manifest(limit=40), Bright())


@pytest.mark.parametrize("nodule", LARGE, ids=lambda nodule: f"{nodule.diameter_mm:.0f} mm")
def test_a_nodule_is_detected_at_its_place(detections, nodule):
    volume = phantom_volume()
    centre = index_of(volume, nodule.centre_lps_mm)

    away_mm = [np.linalg.norm((np.array(one.candidate.index) - centre) * volume.spacing_mm) for one in detections]

    assert min(away_mm) < 3


def test_detections_come_by_falling_score_and_none_is_under_the_threshold(detections):
    scores = [one.score for one in detections]

    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 0.5


def test_there_are_at_most_twice_as_many_as_are_reported():
    assert len(detect_nodules(phantom_volume(), phantom_lungs(), manifest(limit=3), Bright(threshold=0.0))) == SPARE * 3


def test_nothing_over_the_threshold_is_a_result():
    assert detect_nodules(phantom_volume(), phantom_lungs(), manifest(), Bright(threshold=1.1)) == ()


def striped() -> Volume:
    """Every slice has its own density, so that a score tells which slices were looked at."""
    return volume_of(np.broadcast_to(np.arange(20)[:, None, None] * 10, (20, 60, 60)).astype(np.int16), (1.0, 0.7, 0.7))


class Density(Bright):
    def run(self, inputs):
        self.shapes.append(inputs.shape)
        return {"scores": inputs[:, 0, 25, 25] / 1000}


@pytest.mark.parametrize(("diameter_mm", "slices"), [(8.0, (8, 10, 12)), (4.0, (9, 10, 11)), (1.0, (10,)), (80.0, (-10, 10, 30))])
def test_a_candidate_is_looked_at_in_its_middle_and_at_a_quarter_of_its_diameter_on_both_sides(diameter_mm, slices):
    network = Density()

    (score,) = score_candidates(striped(), [Candidate((10.0, 30.0, 30.0), diameter_mm, 1.0)], network)

    seen = [index * 10 if 0 <= index < 20 else -1000 for index in slices]  # air beyond the stack
    assert score == pytest.approx(np.mean(seen) / 1000, abs=1e-6)
    assert sum(shape[0] for shape in network.shapes) == len(slices)


def test_patches_have_the_size_that_the_network_says_and_come_in_batches():
    network = Bright(patch_px=32)
    candidates = [Candidate((float(index % 20), 30.0, 30.0), 8.0, 1.0) for index in range(30)]

    scores = score_candidates(striped(), candidates, network)

    assert len(scores) == 30
    assert {shape[1:] for shape in network.shapes} == {(1, 32, 32)}
    assert max(shape[0] for shape in network.shapes) == 32


def test_no_candidates_have_no_scores():
    assert score_candidates(striped(), [], Bright()).shape == (0,)


def test_the_heat_of_a_detection_is_what_the_network_says_of_its_patches(detections):
    for one in detections[:5]:
        z = round(one.candidate.index[0])
        _, y, x = (slice(at, at + length) for at, length in zip(one.heat.origin, one.heat.values.shape, strict=True))

        assert one.heat.meaning == NODULE_EVIDENCE
        dense = phantom_volume().voxels[z, y, x] > DENSE_HU
        np.testing.assert_allclose(one.heat.values[z - one.heat.origin[0]], dense / 0.095**2, rtol=1e-5)


def test_what_a_shipped_detector_says_of_each_place_adds_up_to_the_score_s_logit_but_for_one_constant():
    folder = read_model(LUNG_NODULES)
    network = load_network(PartFolder(folder.path, folder.manifest), "cpu", 1)
    volume = phantom_volume()
    centres = [tuple(np.round(index_of(volume, nodule.centre_lps_mm) + aside)) for nodule in LARGE for aside in ((0, 0, 0), (0, 5, -9))]

    seen = network.run(cut_patches(volume, centres, int(network.parameters["patch_px"])))

    scores = seen["scores"].astype(np.float64)
    heats = [heat_of_patches(volume, [at], added[None], NODULE_EVIDENCE) for at, added in zip(centres, seen["activation"], strict=True)]
    rest = np.log(scores / (1 - scores)) - [heat.values.sum() * 0.095**2 for heat in heats]
    assert np.ptp(scores) > 0.1
    assert np.ptp(rest) < 0.01
