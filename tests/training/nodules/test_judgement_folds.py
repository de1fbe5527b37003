"""Folds: nobody is judged by an ensemble that was shown them, and nobody's label calibrates their own score."""

import csv
import dataclasses

import numpy as np
import pytest
import torch

from cad_node.training.nodules.judgement_cross_validation import Fold, calibrate, judge_folds
from cad_node.training.nodules.judgement_folds import ENSEMBLE, FOLDS, MEMBERS, members_of, split_for
from cad_node.training.nodules.judgement_network import JudgementNetwork
from cad_node.training.nodules.served import JUDGEMENT_OUTPUTS, UNCALIBRATED, ServedJudgement, run_served
from cad_node.training.samples import Samples, Split
from cad_node.training.splits import SPLIT_FILES, split_of

PATIENTS = [row["patient"] for row in csv.DictReader((SPLIT_FILES / "lidc_idri.csv").read_text().splitlines())]


def test_the_shipped_ensemble_has_the_splits_of_the_split_file():
    assert all(split_for(patient, member) is split_of(patient) for patient in PATIENTS for member in range(ENSEMBLE))


def test_each_patient_of_training_and_validation_is_in_one_fold_and_no_test_patient_is_shown_to_any():
    folds = {patient: [split_for(patient, members_of(fold).start) for fold in range(FOLDS)] for patient in PATIENTS}

    for patient, splits in folds.items():
        is_test = split_of(patient) is Split.TEST
        assert splits.count(Split.TEST) == (0 if is_test else 1)
        assert splits.count(None) == (FOLDS if is_test else 0)


def test_folds_are_of_like_size_and_leave_most_patients_to_train_on():
    for fold in range(FOLDS):
        splits = [split_for(patient, members_of(fold).start) for patient in PATIENTS]

        assert 0.14 < splits.count(Split.TEST) / len(PATIENTS) < 0.20
        assert splits.count(Split.TRAIN) > 0.5 * len(PATIENTS)


def test_the_members_of_all_ensembles_are_all_members_and_share_their_fold():
    numbers = [*range(ENSEMBLE), *(member for fold in range(FOLDS) for member in range(MEMBERS)[members_of(fold)])]

    assert numbers == list(range(MEMBERS))
    assert all(split_for(patient, 4) is split_for(patient, 7) for patient in PATIENTS)


def fold_of(seed: int, labels: list[float]) -> Fold:
    """Slabs of noise, and logits that lean to the labels."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    slabs = random.normal(-600, 300, (len(labels), 3, 48, 48)).astype(np.float32)
    suspicious = np.array(labels)
    samples = Samples(slabs, {}, tuple(f"{seed}-{index}" for index in range(len(labels))), {"suspicious": suspicious}, "")
    return Fold([JudgementNetwork().eval()], samples, (suspicious + random.normal(0, 0.7, len(labels))).astype(np.float32))


@pytest.fixture
def folds() -> list[Fold]:
    return [fold_of(seed, [0.0, 1.0, 0.0, 1.0, 1.0, 0.0]) for seed in range(3)]


def test_no_label_of_a_fold_has_a_part_in_its_own_scores(folds):
    first = folds[0]
    turned = dataclasses.replace(first.samples, attributes={"suspicious": 1 - first.samples.attributes["suspicious"]})

    before, after = judge_folds(folds), judge_folds([dataclasses.replace(first, samples=turned), *folds[1:]])

    assert np.array_equal(before[0].scores, after[0].scores)
    assert not np.array_equal(before[1].scores, after[1].scores)


def test_a_calibration_leans_the_way_the_labels_do(folds):
    assert calibrate(folds)["calibration_scale"] > 0


def test_what_is_served_are_the_first_members_alone(folds):
    networks = [JudgementNetwork().eval() for _ in range(ENSEMBLE + 2)]
    slabs = folds[0].samples.inputs

    served, ensemble = (
        run_served(ServedJudgement(some, UNCALIBRATED), JUDGEMENT_OUTPUTS, slabs) for some in (networks, networks[:ENSEMBLE])
    )

    assert np.array_equal(served["malignancy"], ensemble["malignancy"])
