"""The served graph shows where its score comes from, exactly, and doesn't care how a patch is turned over."""

import numpy as np
import pytest
import torch

from cad_node.training.detection.golden_patches import nodule_golden_patches
from cad_node.training.detection.network import NoduleNetwork
from cad_node.training.detection.served import Ensemble, ServedEnsemble

PARAMETERS = {"calibration_scale": 1.4, "calibration_offset": -0.3}


def served(size_px: int, members: int = 2) -> ServedEnsemble:
    torch.manual_seed(3)
    return ServedEnsemble([settled(NoduleNetwork(size_px), size_px) for _ in range(members)], PARAMETERS).eval()


def settled(network: NoduleNetwork, size_px: int) -> NoduleNetwork:
    """With statistics as after training, so that patches differ in their scores."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()
    with torch.no_grad():
        network(torch.from_numpy(nodule_golden_patches(size_px)))
    return network


def run(module: torch.nn.Module, patches: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        return module(torch.from_numpy(patches))


@pytest.mark.parametrize("size_px", [50, 32])
def test_activation_adds_up_to_the_score_but_for_one_constant(size_px):
    patches = nodule_golden_patches(size_px)

    scores, activation = run(served(size_px), patches)

    assert (tuple(scores.shape), tuple(activation.shape)) == ((16,), (16, size_px, size_px))
    rest = torch.logit(scores.double()) - activation.double().sum((1, 2))
    assert torch.logit(scores).std() > 0.01
    assert rest.numpy() == pytest.approx(float(rest[0]), abs=1e-4)


@pytest.mark.parametrize("axis", [2, 3])
def test_mirrored_patch_has_the_same_score_and_the_mirrored_activation(axis):
    patches = nodule_golden_patches(50)
    module = served(50)

    scores, activation = run(module, patches)
    mirrored_scores, mirrored = run(module, np.flip(patches, axis).copy())

    assert mirrored_scores.numpy() == pytest.approx(scores.numpy(), abs=1e-5)
    assert np.flip(mirrored.numpy(), axis - 1) == pytest.approx(activation.numpy(), abs=1e-5)


def test_window_is_inside():
    patches = nodule_golden_patches(50)
    metal = np.where(patches > 0, np.float32(3000), patches)
    module = served(50)

    assert torch.equal(run(module, metal)[0], run(module, np.clip(metal, -1000, 400))[0])


def test_ensemble_is_the_mean_of_its_members_and_of_the_mirror_images():
    patches = torch.from_numpy(nodule_golden_patches(32))
    ensemble = Ensemble(served(32).ensemble.members).eval()

    with torch.inference_mode():
        logits = ensemble(patches)["logits"]
        looks = [member(torch.flip(patches, axes))["logits"] for member in ensemble.members for axes in ((), (2,), (3,), (2, 3))]

    assert logits.numpy() == pytest.approx(torch.stack(looks).mean(0).numpy(), abs=1e-5)


def test_activation_of_a_place_comes_from_around_that_place():
    """A change in one corner moves the terms of the far corner not at all: they lie outside each other's field of view."""
    torch.manual_seed(3)
    network = NoduleNetwork(160).eval()
    patch = torch.full((1, 1, 160, 160), -850.0)
    changed = patch.clone()
    changed[..., :8, :8] = 100.0

    with torch.inference_mode():
        difference = (network(changed)["terms"] - network(patch)["terms"]).abs()[0]

    assert difference[0, 0] > 0
    assert difference[-6:, -6:].max() == 0
