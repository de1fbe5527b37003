"""Both nodule recipes: patients never leak, variants keep what they must, and the served graphs give what the networks do."""

import dataclasses

import numpy as np
import pytest
import torch

from cad_node.imaging.nodule_slabs import cut_judgement_slab
from cad_node.imaging.nodules import region_of
from cad_node.training.nodules.annotated import read_nodules
from cad_node.training.nodules.judgement_network import JudgementNetwork
from cad_node.training.nodules.judgement_samples import UNDECIDED
from cad_node.training.nodules.outline_samples import outline_dice
from cad_node.training.nodules.outline_training import vary_outlines
from cad_node.training.nodules.recipes import NODULE_MALIGNANCY, NODULE_SEGMENTATION
from cad_node.training.nodules.served import JUDGEMENT_OUTPUTS, ServedJudgement, run_served
from cad_node.training.nodules.uncertainty import choose_uncertainty
from cad_node.training.recipe import predict
from cad_node.training.samples import DataError, Samples, Split, check_patients_apart
from cad_node.training.train import train
from tests.training.nodules.small_set import PATIENTS

RECIPES = pytest.mark.parametrize("recipe", [NODULE_SEGMENTATION, NODULE_MALIGNANCY], ids=lambda recipe: recipe.name)


@RECIPES
def test_no_patient_is_in_two_splits(recipe, small_set):
    splits = {split: recipe.read(small_set, split, 0) for split in Split}

    check_patients_apart(splits)

    assert {split: sorted(set(samples.patients)) for split, samples in splits.items()} == {
        split: sorted(PATIENTS[split]) for split in Split
    }


@RECIPES
def test_training_refuses_a_reader_that_leaks_patients(recipe, small_set, tmp_path):
    leaking = dataclasses.replace(recipe, read=lambda data, split, member: recipe.read(data, Split.TRAIN, member))

    with pytest.raises(DataError, match="is in the train and in the val split"):
        train(leaking, small_set, tmp_path / "run", epochs=1)


@RECIPES
def test_a_network_learns_the_small_set(recipe, small_set, tmp_path):
    run = train(dataclasses.replace(recipe, batch=4), small_set, tmp_path / "run", members=[0], epochs=2)

    assert len((run / "member-0" / "history.jsonl").read_text().splitlines()) == 2


def test_every_slice_of_a_judged_nodule_is_tested_but_not_each_is_trained_on(small_set):
    training, test = (NODULE_SEGMENTATION.read(small_set, split, 0) for split in (Split.TRAIN, Split.TEST))

    assert len(test) == 4 * 5
    assert len(training) == 4 * 5  # five slices are few enough
    assert test.inputs.shape[1:] == (3, 64, 64)
    assert np.array_equal(test.inputs[1][0], test.inputs[0][1])  # the slice before


def test_a_perfect_outline_has_a_dice_of_one_for_each_nodule(small_set):
    samples = NODULE_SEGMENTATION.read(small_set, Split.TEST, 0)

    dice = outline_dice(samples.targets["nodule"], samples)

    assert dice.tolist() == [1.0] * 4


def test_outlines_turn_with_their_slabs():
    slabs = torch.full((64, 3, 64, 64), -860.0)
    outlines = torch.zeros(64, 1, 64, 64)
    outlines[:, :, 28:36, 22:42] = 1
    slabs += outlines * 900
    slabs[:, 0] += torch.randn(64, 64, 64)  # neighbours of their own

    varied, targets = vary_outlines(slabs, {"nodule": outlines}, torch.Generator().manual_seed(1))

    inside = targets["nodule"][:, 0] > 0.9
    assert inside.any(dim=(1, 2)).float().mean() > 0.8
    assert varied[:, 1][inside].mean() > -100
    assert varied[:, 1][(targets["nodule"][:, 0] < 0.01) & inside.any(dim=(1, 2))[:, None, None]].mean() < -750


def test_some_variants_show_something_else_and_are_empty():
    slabs = torch.full((200, 3, 64, 64), -860.0)
    outlines = torch.zeros(200, 1, 64, 64)
    outlines[:, :, 29:35, 29:35] = 1

    _, targets = vary_outlines(slabs, {"nodule": outlines}, torch.Generator().manual_seed(1))

    empty = (targets["nodule"].amax(dim=(1, 2, 3)) == 0).float().mean()
    assert 0.04 < empty < 0.25


def test_training_is_shown_the_very_cut_that_serving_makes(small_set):
    nodule = next(nodule for nodule in read_nodules(small_set)[0] if nodule.patient == PATIENTS["test"][0])
    samples = NODULE_MALIGNANCY.read(small_set, Split.TEST, 0)

    spacing_mm = (nodule.slice_spacing_mm, nodule.pixel_mm, nodule.pixel_mm)
    served = cut_judgement_slab(nodule.hu, spacing_mm, region_of(nodule.consensus, (0, 0, 0)))

    assert np.array_equal(samples.inputs[0], served)


def test_readers_ratings_become_targets(small_set):
    samples = NODULE_MALIGNANCY.read(small_set, Split.TEST, 0)

    assert samples.attributes["suspicious"].tolist() == [1.0, 0.0, 1.0, 0.0]
    assert samples.targets["malignancy"][0] == pytest.approx((4.75 - 1) / 4)
    assert samples.targets["calcification"].tolist() == [1.0, 0.75] * 2  # ratings of 3 are kinds of calcification
    assert UNDECIDED not in samples.attributes["suspicious"]


def test_the_activation_map_averages_to_the_logit():
    network = JudgementNetwork().eval()
    slabs = np.random.default_rng(2).normal(-500, 300, (3, 3, 48, 48)).astype(np.float32)

    seen = predict(network, slabs)

    assert seen["activation"].mean(axis=(1, 2)) == pytest.approx(seen["malignancy"], abs=1e-5)


def test_members_that_differ_have_a_spread_and_the_mean_is_served():
    torch.manual_seed(3)
    members = [JudgementNetwork().eval() for _ in range(3)]
    slabs = np.random.default_rng(2).normal(-500, 300, (2, 3, 48, 48)).astype(np.float32)
    calibration = {"calibration_scale": 2.0, "calibration_offset": -0.5}

    together = run_served(ServedJudgement(members, calibration), JUDGEMENT_OUTPUTS, slabs)
    alone = [run_served(ServedJudgement([member], calibration), JUDGEMENT_OUTPUTS, slabs) for member in members]

    scores = np.stack([outputs["malignancy"] for outputs in alone])
    assert together["malignancy"] == pytest.approx(scores.mean(axis=0), abs=1e-5)
    assert together["spread"] == pytest.approx(scores.std(axis=0), abs=1e-5)
    assert alone[0]["spread"] == pytest.approx(0)
    assert together["activation"].shape == (2, 48, 48)
    assert together["activation"].mean(axis=(1, 2)) == pytest.approx(
        np.mean([outputs["activation"].mean(axis=(1, 2)) for outputs in alone], axis=0), abs=1e-5
    )


def test_a_mirrored_slab_is_judged_alike_and_shown_mirrored():
    torch.manual_seed(3)
    served = ServedJudgement([JudgementNetwork().eval()], {"calibration_scale": 1.0, "calibration_offset": 0.0})
    slabs = np.random.default_rng(2).normal(-500, 300, (1, 3, 48, 48)).astype(np.float32)

    seen, mirrored = (run_served(served, JUDGEMENT_OUTPUTS, images) for images in (slabs, slabs[:, :, :, ::-1].copy()))

    assert mirrored["malignancy"] == pytest.approx(seen["malignancy"], abs=1e-6)
    assert mirrored["activation"][:, :, ::-1] == pytest.approx(seen["activation"], abs=1e-5)


def test_uncertain_is_where_readers_and_scores_disagree_on_validation():
    scores = np.array([0.05, 0.1, 0.3, 0.45, 0.55, 0.7, 0.9, 0.95])
    labels = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    spreads = np.linspace(0, 0.07, 8)

    bounds = choose_uncertainty(labels, scores, spreads)

    assert (bounds.low, bounds.high) == pytest.approx((0.3, 0.7))
    assert bounds.is_certain(scores, np.zeros(8)).tolist() == [True, True, True, False, False, True, True, True]
    assert not bounds.is_certain(scores, np.ones(8)).any()


def test_the_set_of_samples_can_be_cut_down(small_set):
    samples = NODULE_MALIGNANCY.read(small_set, Split.TEST, 0)

    some = samples.take(np.array([2, 0]))

    assert isinstance(some, Samples)
    assert some.patients == (samples.patients[2], samples.patients[0])
    assert np.array_equal(some.inputs, samples.inputs[[2, 0]])
