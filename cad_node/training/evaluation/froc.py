"""FROC: how many nodules are found at how many false positives a scan, by the rules of LUNA16.

Setio et al., Validation, comparison, and combination of algorithms for automatic detection of pulmonary nodules, 2017.
A detection nearer to a nodule's centre than its radius hits it; several hits count once, by the best score;
a detection that hits only excluded findings counts neither way; every other one is a false positive.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from cad_node.training.evaluation.bootstrap import Interval, draw_weights, interval_of
from cad_node.training.metrics import Table

OPERATING_POINTS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # false positives a scan; the mean sensitivity at them is the CPM
UNKNOWN_DIAMETER_MM = 10.0  # what LUNA16 takes where a diameter is negative: it isn't known


@dataclass(frozen=True, slots=True)
class Marks:
    """Nodules, excluded findings or detections of many scans, in one coordinate system.

    scans: (N,) names. centres_mm: (N, 3). values: (N,), diameters in mm, or the detections' scores.
    """

    scans: NDArray[Any]
    centres_mm: NDArray[np.float64]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not len(self.scans) == len(self.centres_mm) == len(self.values):
            raise ValueError(f"{len(self.scans)} scans, {len(self.centres_mm)} centres and {len(self.values)} values don't fit together")


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """threshold: the least score at which there are no more false positives than that."""

    false_positives: float  # a scan
    sensitivity: float
    ci95: Interval
    threshold: float


@dataclass(frozen=True, slots=True)
class Froc:
    """false_positives, sensitivity: (K,), the whole curve. cpm: mean sensitivity at the operating points, and its interval."""

    scans: int
    nodules: int
    points: tuple[OperatingPoint, ...]
    cpm: tuple[float, Interval]
    false_positives: NDArray[np.float64]  # a scan
    sensitivity: NDArray[np.float64]


def froc(scans: Sequence[str], nodules: Marks, detections: Marks, excluded: Marks | None = None, seed: int = 0) -> Froc:
    """The curve, its operating points and their intervals, for which scans are drawn again.

    scans: all that were searched, those without nodules or detections included.
    Raises ValueError if a mark is of another scan: leaving it out would change the figures unseen.
    """
    nothing = Marks(np.empty(0, np.str_), np.empty((0, 3)), np.empty(0))
    events = _match(scans, nodules, detections, excluded or nothing)
    once = np.ones(len(scans), dtype=np.int64)
    sensitivities = events.at_operating_points(once)
    drawn = np.stack([events.at_operating_points(weights) for weights in draw_weights(len(scans), seed)])
    false_positives, sensitivity = events.curve(once)
    return Froc(
        scans=len(scans),
        nodules=len(nodules.scans),
        points=tuple(
            OperatingPoint(at, float(value), interval_of(draws), events.threshold(at))
            for at, value, draws in zip(OPERATING_POINTS, sensitivities, drawn.T, strict=True)
        ),
        cpm=(float(sensitivities.mean()), interval_of(drawn.mean(axis=1))),
        false_positives=false_positives,
        sensitivity=sensitivity,
    )


def froc_table(measured: Froc, title: str) -> Table:
    rows = [
        (f"{point.false_positives:g}", f"{point.sensitivity:.3f} ({point.ci95[0]:.3f} to {point.ci95[1]:.3f})", f"{point.threshold:.3f}")
        for point in measured.points
    ]
    mean, (low, high) = measured.cpm
    note = f"Mean of these sensitivities (CPM): {mean:.3f} ({low:.3f} to {high:.3f}); {measured.nodules} nodules in {measured.scans} scans."
    return Table(title, note, ("false positives a scan", "sensitivity (95 % CI)", "score from"), tuple(rows))


@dataclass(frozen=True, slots=True)
class _Events:
    """What counts, best score first: nodules that were found, and false positives.

    scan: (K,) number of its scan; found: (K,) a nodule, not a false positive; score: (K,); nodules: (scans,) how many there are.
    """

    scan: NDArray[np.intp]
    found: NDArray[np.bool_]
    score: NDArray[np.float64]
    nodules: NDArray[np.intp]

    def curve(self, weights: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """False positives a scan, and sensitivity, from none on after each distinct score; each scan counts `weights` times."""
        weight = weights[self.scan]
        found, wrong = (np.append(0, np.cumsum(weight * kind)[self._last_of_score]) for kind in (self.found, ~self.found))
        return wrong / weights.sum(), found / max(1, weights @ self.nodules)

    def at_operating_points(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """(7,) sensitivities, between the curve's points along straight lines, as LUNA16's own script has them."""
        return np.asarray(np.interp(OPERATING_POINTS, *self.curve(weights)))

    def threshold(self, false_positives: float) -> float:
        wrong = np.cumsum(~self.found)[self._last_of_score]
        allowed = self.score[self._last_of_score][wrong <= false_positives * len(self.nodules)]
        return float(allowed[-1]) if len(allowed) else np.inf

    @property
    def _last_of_score(self) -> NDArray[np.intp]:
        """Events of one score come in together; indices of the last of each."""
        return np.flatnonzero(np.diff(self.score, append=-np.inf))


def _match(scans: Sequence[str], nodules: Marks, detections: Marks, excluded: Marks) -> _Events:
    parts = list(_match_scans(scans, nodules, detections, excluded))
    number = np.concatenate([np.full(len(found) + len(wrong), scan) for scan, (found, wrong) in enumerate(parts)])
    is_found = np.concatenate([np.arange(len(found) + len(wrong)) < len(found) for found, wrong in parts])
    score = np.concatenate([scores for part in parts for scores in part])
    order = np.argsort(-score, kind="stable")
    counts = np.array([np.count_nonzero(nodules.scans == scan) for scan in scans])
    return _Events(number[order], is_found[order], score[order], counts)


def _match_scans(
    scans: Sequence[str], nodules: Marks, detections: Marks, excluded: Marks
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For each scan the best scores of the nodules found, and the scores of the false positives."""
    groups = [_by_scan(marks, scans) for marks in (nodules, detections, excluded)]
    for nodules_here, detected, excluded_here in zip(*groups, strict=True):
        scores = detections.values[detected]
        hits = _hits(nodules, nodules_here, detections.centres_mm[detected])
        ignored = _hits(excluded, excluded_here, detections.centres_mm[detected])
        best = np.where(hits, scores, -np.inf).max(axis=1, initial=-np.inf)
        yield best[hits.any(axis=1)], scores[~hits.any(axis=0) & ~ignored.any(axis=0)]


def _by_scan(marks: Marks, scans: Sequence[str]) -> list[NDArray[np.intp]]:
    """Indices of each scan's marks."""
    if strange := sorted(set(marks.scans.tolist()) - set(scans)):
        raise ValueError(f"marks of scan {strange[0]}, which isn't among the {len(scans)} searched; name all scans, or leave its marks out")
    order = np.argsort(marks.scans, kind="stable")
    starts, ends = (np.searchsorted(marks.scans[order], scans, side=side) for side in ("left", "right"))
    return [order[start:end] for start, end in zip(starts, ends, strict=True)]


def _hits(marks: Marks, chosen: NDArray[np.intp], centres_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(marks, detections): whether a detection lies within a mark's radius."""
    diameters = np.where(marks.values[chosen] < 0, UNKNOWN_DIAMETER_MM, marks.values[chosen])
    near: NDArray[np.bool_] = cdist(marks.centres_mm[chosen], centres_mm) < diameters[:, np.newaxis] / 2
    return near
