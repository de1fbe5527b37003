"""The recipe's network learns, takes any size, and serves probabilities; its figures are of held-out patients."""

import numpy as np
import torch

from cad_node.training.lungs.evaluate import evaluate
from cad_node.training.lungs.lctsc_masks import Case
from cad_node.training.lungs.network import LungNetwork, ServedLungNetwork
from cad_node.training.lungs.outlines import outline
from cad_node.training.lungs.recipe import LUNG_SEGMENTATION_CT, golden_slices, loss, score
from cad_node.training.samples import Samples


def test_any_multiple_of_sixteen_is_taken_and_probabilities_are_given():
    served = LUNG_SEGMENTATION_CT.served([LungNetwork().eval()], {})

    (lungs,) = served(torch.zeros(2, 1, 48, 80))

    assert isinstance(served, ServedLungNetwork)
    assert lungs.shape == (2, 1, 48, 80)
    assert 0 <= lungs.min() <= lungs.max() <= 1


def test_the_loss_falls_when_the_lungs_are_told():
    truth = torch.zeros(1, 1, 32, 32)
    truth[..., 8:20, 8:20] = 1

    told, missed = (float(loss({"lungs": logits}, {"lungs": truth})) for logits in (8 * (2 * truth - 1), torch.full_like(truth, -8.0)))

    assert told < 0.05
    assert missed > 1


def test_the_score_is_the_patients_mean_whatever_number_of_slices_they_have():
    truth = np.zeros((4, 1, 16, 16), np.float32)
    truth[..., :8] = 1
    found = np.where(truth > 0, 1.0, -1.0).astype(np.float32)
    found[3] = -1
    samples = Samples(np.zeros((4, 1, 16, 16), np.int16), {"lungs": truth}, ("a", "a", "a", "b"), {}, "")

    assert score({"lungs": found}, samples) == 0.5


def test_golden_slices_are_drawn_alike_each_time():
    slices = golden_slices()

    assert slices.shape == (3, 1, 96, 128)
    assert np.array_equal(slices, golden_slices())
    assert all(len(np.unique(plane)) > 1 for plane in slices)


def test_a_scan_that_is_refused_counts_as_no_lung_at_all():
    case = Case("a", np.full((4, 256, 256), -1000, np.int16), np.zeros((4, 256, 256), np.bool_))
    case.lungs[1, 100:150, 60:100] = case.lungs[1, 100:150, 140:180] = True
    network = LungNetwork().eval()
    torch.nn.init.constant_(network.head.bias, -50.0)  # sees no lung anywhere

    outlined = outline(network, case)

    assert outlined.lungs is None
    assert not outlined.served.any()
    assert outlined.dice_of_sides == (0.0, 0.0)


def test_the_recipe_measures_by_its_own_evaluation():
    assert LUNG_SEGMENTATION_CT.evaluate is evaluate
