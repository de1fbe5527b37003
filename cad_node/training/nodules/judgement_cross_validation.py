"""What ensembles say of patients that they never saw: enough nodules to fit a calibration on, and to measure one.

The shipped ensemble is calibrated on the logits of all folds; each fold, to be measured, on those of the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cad_node.training.evaluation.bootstrap import Interval, interval_of, statistic_ci
from cad_node.training.evaluation.calibration import expected_calibration_error, fit_platt
from cad_node.training.evaluation.curves import roc_auc
from cad_node.training.metrics import Figure, Table
from cad_node.training.nodules.judgement_folds import FOLDS, members_of
from cad_node.training.nodules.judgement_samples import decided, read_judgements
from cad_node.training.nodules.served import JUDGEMENT_OUTPUTS, UNCALIBRATED, ServedJudgement, run_served
from cad_node.training.recipe import Trained
from cad_node.training.samples import Samples, Split

ALL = "every patient, unseen"  # the folds and the test split together


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold's ensemble, and the decided nodules of the patients it never saw. logits: (N,), the ensemble's before calibration."""

    networks: Sequence[nn.Module]
    samples: Samples
    logits: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Unseen:
    """Decided nodules as judged by members that never saw their patients: labels 0 or 1, calibrated scores and spreads, all (N,)."""

    labels: NDArray[np.float64]
    scores: NDArray[np.float32]
    spreads: NDArray[np.float32]
    patients: tuple[str, ...]

    @classmethod
    def of(cls, samples: Samples, predicted: Mapping[str, NDArray[np.float32]]) -> Self:
        return cls(samples.attributes["suspicious"], predicted["malignancy"], predicted["spread"], samples.patients)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        return cls(
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.spreads for part in parts]),
            tuple(patient for part in parts for patient in part.patients),
        )

    @property
    def auc(self) -> tuple[float, Interval]:
        return roc_auc(self.labels, self.scores, self.patients)

    @property
    def calibration_error(self) -> tuple[float, Interval]:
        return statistic_ci(expected_calibration_error, (self.labels, self.scores), self.patients)

    @property
    def perfect_error(self) -> tuple[float, Interval]:
        """The calibration error that chance alone makes: of labels drawn with the scores as their probabilities."""
        random = np.random.default_rng(0)
        errors = [expected_calibration_error(random.random(len(self.scores)) < self.scores, self.scores) for _ in range(1000)]
        return float(np.mean(errors)), interval_of(errors)

    def figures(self, key: str, split: str) -> tuple[Figure, ...]:
        """Keys begin with `key`."""
        of = f"nodules of {len(set(self.patients))} patients"
        measured = (
            ("auc", "Area under the ROC curve", self.auc),
            ("ece", "Expected calibration error", self.calibration_error),
            ("ece_of_perfect_scores", "The same, were the scores perfect", self.perfect_error),
        )
        return tuple(Figure(f"{key}_{part}", name, split, *result, len(self.labels), of) for part, name, result in measured)


def read_folds(trained: Trained) -> list[Fold]:
    folds = []
    for fold in range(FOLDS):
        members = members_of(fold)
        samples = read_judgements(trained.data, Split.TEST, members.start)
        networks = trained.networks[members]
        chosen = samples.take(decided(samples))
        folds.append(Fold(networks, chosen, _judge(networks, UNCALIBRATED, chosen)["activation"].mean(axis=(1, 2))))
    return folds


def calibrate(folds: Sequence[Fold]) -> dict[str, float]:
    """The parameters of ServedJudgement, fitted on what these folds' ensembles never saw."""
    platt = fit_platt(np.concatenate([fold.logits for fold in folds]), np.concatenate([_labels(fold) for fold in folds]))
    return {"calibration_scale": platt.scale, "calibration_offset": platt.offset}


def judge_folds(folds: Sequence[Fold]) -> list[Unseen]:
    """Each fold by its own ensemble, calibrated on the other folds."""
    return [
        Unseen.of(fold.samples, _judge(fold.networks, calibrate([other for other in folds if other is not fold]), fold.samples))
        for fold in folds
    ]


def folds_table(folds: Sequence[Unseen], test: Unseen) -> Table:
    rows = []
    for name, one in (*((f"fold {number}", one) for number, one in enumerate(folds, 1)), ("test, by the shipped ensemble", test)):
        error, _ = one.calibration_error
        value, (low, high) = one.auc
        nodules = f"{len(one.labels)} of {len(set(one.patients))} patients"
        rows.append((name, nodules, f"{value:.3f} ({low:.3f} to {high:.3f})", f"{error:.3f}", f"{one.perfect_error[0]:.3f}"))
    columns = ("patients", "decided nodules", "AUC (95 % CI)", "calibration error", "were the scores perfect")
    return Table("Patients that the members never saw", "", columns, tuple(rows))


def _judge(networks: Sequence[nn.Module], calibration: Mapping[str, float], samples: Samples) -> dict[str, NDArray[np.float32]]:
    return run_served(ServedJudgement(networks, calibration), JUDGEMENT_OUTPUTS, samples.inputs)


def _labels(fold: Fold) -> NDArray[np.float64]:
    return fold.samples.attributes["suspicious"]
