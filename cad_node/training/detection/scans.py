"""The classifier on whole scans, through the code that serves it: what is found, what is missed, what is found beside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cad_node.imaging.candidates import Candidate, find_candidates
from cad_node.imaging.lungs import Lungs
from cad_node.imaging.shapes import Spacing
from cad_node.inference.detect_nodules import score_candidates
from cad_node.inference.network import Network, load_network
from cad_node.inference.segment_lungs import segment_lungs
from cad_node.manifest import PartFolder, Range, read_part
from cad_node.shipped import shipped
from cad_node.training.detection.operating_points import CANDIDATES
from cad_node.training.detection.served import ServedEnsemble
from cad_node.training.detection.whole_scans import Mark, Scan, holds_scans, read_scans
from cad_node.training.evaluation.froc import Froc, Marks, froc
from cad_node.training.metrics import Table
from cad_node.training.recipe import Trained
from cad_node.training.samples import DataError

DIAMETER_MM = Range(min=3, max=40)  # of candidates, as the application's model.toml has it
LUNGS = "lung_segmentation_ct/1.0.1"
NOTE = (
    "Tests: nothing was trained on these scans by intent, nor tuned on them, and they are too few for a rate. Found: a detection over the "
    "threshold lies in the mark's box; marks of fewer than three readers count neither way. Detections of one thing count each by itself."
)


@dataclass(frozen=True, slots=True)
class TorchNetwork:
    """The served module before it is exported, as a serving network."""

    module: nn.Module
    parameters: Mapping[str, float]

    def run(self, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        with torch.inference_mode():
            scores, activation = self.module(torch.from_numpy(inputs))
        return {"scores": scores.numpy(), "activation": activation.numpy()}


@dataclass(frozen=True, slots=True)
class Searched:
    """A scan's candidates and what the classifier says of each, (N,) 0..1."""

    name: str
    spacing_mm: Spacing
    marks: Sequence[Mark]
    candidates: Sequence[Candidate]
    scores: NDArray[np.float32]


def search_scans(trained: Trained, parameters: Mapping[str, float]) -> tuple[Searched, ...]:
    """The scans that lie in the data folder, if any. Raises DataError if the model that outlines lungs isn't there."""
    if not holds_scans(trained.data):
        return ()
    lungs_folder = shipped("models") / LUNGS
    if not lungs_folder.is_dir():
        raise DataError(f"{lungs_folder}: isn't there, and the scans in {trained.data} need it; make that model first")
    network = TorchNetwork(ServedEnsemble(trained.networks, parameters).eval(), parameters)
    lungs_network = load_network(PartFolder(lungs_folder, read_part(lungs_folder)), "cpu")
    return tuple(_search(scan, segment_lungs(scan.volume, lungs_network), network) for scan in read_scans(trained.data))


def _search(scan: Scan, lungs: Lungs, network: Network) -> Searched:
    candidates = find_candidates(scan.volume, lungs, DIAMETER_MM, CANDIDATES)
    return Searched(scan.name, scan.volume.spacing_mm, scan.marks, candidates, score_candidates(scan.volume, candidates, network))


def tabulate_scans(searched: Sequence[Searched], parameters: Mapping[str, float]) -> Table:
    points = _points(parameters)
    shown = [f"{key.removeprefix('threshold_')} ({parameters[key]:.2f})" for key in points]
    columns = ("scan", "candidates", "marks among them", "score of each mark", *(f"found + false positives at {point}" for point in shown))
    return Table("Whole scans", NOTE, columns, tuple(_row(one, [parameters[key] for key in points]) for one in searched))


def froc_of(searched: Sequence[Searched]) -> Froc:
    """By LUNA16's rules: a mark is a ball about the middle of its box."""
    balls = [(one.name, *_ball(mark, one.spacing_mm), mark.counts) for one in searched for mark in one.marks]
    detections = [
        (one.name, np.multiply(candidate.index, one.spacing_mm), score)
        for one in searched
        for candidate, score in zip(one.candidates, one.scores, strict=True)
    ]
    nodules, excluded = (_marks([ball[:3] for ball in balls if ball[3] is counts]) for counts in (True, False))
    return froc([one.name for one in searched], nodules, _marks(detections), excluded)


def _marks(rows: Sequence[tuple[str, NDArray[np.float64], float]]) -> Marks:
    centres_mm = np.array([centre_mm for _, centre_mm, _ in rows], np.float64).reshape(-1, 3)
    return Marks(np.array([name for name, _, _ in rows], np.str_), centres_mm, np.array([value for _, _, value in rows], np.float64))


def _ball(mark: Mark, spacing_mm: Spacing) -> tuple[NDArray[np.float64], float]:
    """Centre and diameter, in mm: the mean of the box's edges."""
    low_mm, high_mm = np.multiply(mark.low, spacing_mm), np.multiply(mark.high, spacing_mm)
    return (low_mm + high_mm) / 2, float((high_mm - low_mm).mean())


def _row(searched: Searched, thresholds: Sequence[float]) -> tuple[str, ...]:
    candidates, scores = searched.candidates, searched.scores
    wanted = [mark for mark in searched.marks if mark.counts]
    best = [_best_score(mark, candidates, scores) for mark in wanted]
    beside = np.array([not any(mark.holds(candidate.index) for mark in searched.marks) for candidate in candidates])
    cells = []
    for threshold in thresholds:
        found, false = sum(score >= threshold for score in best), int((beside & (scores >= threshold)).sum())
        cells.append(f"{found} of {len(wanted)} + {false}")
    among = f"{sum(score >= 0 for score in best)} of {len(wanted)}"
    return (
        searched.name,
        str(len(candidates)),
        among,
        ", ".join(f"{mark.name} {score:.3f}" for mark, score in zip(wanted, best, strict=True)),
        *cells,
    )


def _points(parameters: Mapping[str, float]) -> list[str]:
    return [key for key in parameters if key.startswith("threshold")]


def _best_score(mark: Mark, candidates: Sequence[Candidate], scores: NDArray[np.float32]) -> float:
    """-1 where no candidate lies in the mark."""
    return max((float(score) for candidate, score in zip(candidates, scores, strict=True) if mark.holds(candidate.index)), default=-1.0)
