"""The classifier on whole scans, through the code that serves it: what is found, what is missed, what is found beside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cad_node.imaging.candidates import Candidate, find_candidates
from cad_node.imaging.lungs import Lungs
from cad_node.inference.detect_nodules import score_candidates
from cad_node.inference.network import Network, load_network
from cad_node.inference.segment_lungs import segment_lungs
from cad_node.manifest import PartFolder, Range, read_part
from cad_node.shipped import shipped
from cad_node.training.detection.operating_points import CANDIDATES
from cad_node.training.detection.served import ServedEnsemble
from cad_node.training.detection.whole_scans import Mark, Scan, holds_scans, read_scans
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


def scans_table(trained: Trained, parameters: Mapping[str, float]) -> tuple[Table, ...]:
    """A table where the scans lie in the data folder, else none. Raises DataError if the model that outlines lungs isn't there."""
    if not holds_scans(trained.data):
        return ()
    lungs_folder = shipped("models") / LUNGS
    if not lungs_folder.is_dir():
        raise DataError(f"{lungs_folder}: isn't there, and the scans in {trained.data} need it; make that model first")
    network = TorchNetwork(ServedEnsemble(trained.networks, parameters).eval(), parameters)
    lungs_network = load_network(PartFolder(lungs_folder, read_part(lungs_folder)), "cpu")
    return tabulate_scans(trained.data, network, lungs_network)


def tabulate_scans(data: Path, network: Network, lungs_network: Network) -> tuple[Table, ...]:
    """A row for each scan in the folder `data`; no table if there is none."""
    rows = [_row(scan, segment_lungs(scan.volume, lungs_network), network) for scan in read_scans(data)]
    points = [f"{key.removeprefix('threshold_')} ({network.parameters[key]:.2f})" for key in _points(network)]
    columns = ("scan", "candidates", "marks among them", "score of each mark", *(f"found + false positives at {point}" for point in points))
    return (Table("Whole scans", NOTE, columns, tuple(rows)),) if rows else ()


def _row(scan: Scan, lungs: Lungs, network: Network) -> tuple[str, ...]:
    candidates = find_candidates(scan.volume, lungs, DIAMETER_MM, CANDIDATES)
    scores = score_candidates(scan.volume, candidates, network)
    wanted = [mark for mark in scan.marks if mark.counts]
    best = [_best_score(mark, candidates, scores) for mark in wanted]
    beside = np.array([not any(mark.holds(candidate.index) for mark in scan.marks) for candidate in candidates])
    cells = []
    for key in _points(network):
        threshold = network.parameters[key]
        found, false = sum(score >= threshold for score in best), int((beside & (scores >= threshold)).sum())
        cells.append(f"{found} of {len(wanted)} + {false}")
    among = f"{sum(score >= 0 for score in best)} of {len(wanted)}"
    return (
        scan.name,
        str(len(candidates)),
        among,
        ", ".join(f"{mark.name} {score:.3f}" for mark, score in zip(wanted, best, strict=True)),
        *cells,
    )


def _points(network: Network) -> list[str]:
    return [key for key in network.parameters if key.startswith("threshold")]


def _best_score(mark: Mark, candidates: Sequence[Candidate], scores: NDArray[np.float32]) -> float:
    """-1 where no candidate lies in the mark."""
    return max((float(score) for candidate, score in zip(candidates, scores, strict=True) if mark.holds(candidate.index)), default=-1.0)
