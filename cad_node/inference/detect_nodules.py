"""Nodules in lungs that are outlined already: candidates, and a score for each from several slices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cad_node.imaging.candidates import Candidate, find_candidates
from cad_node.imaging.lungs import Lungs
from cad_node.imaging.patches import cut_patches
from cad_node.imaging.volume import Volume
from cad_node.inference.network import Network
from cad_node.manifest import Manifest

LOOKS = (-0.25, 0.0, 0.25)  # of the diameter: the slices on which a candidate is scored; the mean counts
BATCH = 32
SPARE = 2  # as many detections as findings may be reported: outlines that overlap become one


@dataclass(frozen=True, slots=True)
class Detection:
    candidate: Candidate
    score: float  # 0..1


def detect_nodules(volume: Volume, lungs: Lungs, manifest: Manifest, network: Network) -> tuple[Detection, ...]:
    """What scores at least the network's threshold, the surest first: at most twice as many as the manifest reports.

    network: patches (N, 1, P, P) float32 HU -> "scores" (N,) 0..1; its parameters say threshold and patch_px.
    """
    candidates = find_candidates(volume, lungs, manifest.candidates.diameter_mm, manifest.candidates.limit)
    scores = score_candidates(volume, candidates, network)
    surest = np.argsort(-scores, kind="stable")[: SPARE * manifest.output.limit]
    threshold = network.parameters["threshold"]
    return tuple(Detection(candidates[index], float(scores[index])) for index in surest if scores[index] >= threshold)


def score_candidates(volume: Volume, candidates: Sequence[Candidate], network: Network) -> NDArray[np.float32]:
    """(N,) the mean of each candidate's looks; slices that are the same are looked at once."""
    centres = [_looks(volume, candidate) for candidate in candidates]
    patches = [centre for looks in centres for centre in looks]
    size_px = int(network.parameters["patch_px"])
    scores = [
        network.run(cut_patches(volume, patches[start : start + BATCH], size_px))["scores"] for start in range(0, len(patches), BATCH)
    ]
    ends = np.cumsum([len(looks) for looks in centres])[:-1]
    return np.array([part.mean() for part in np.split(np.concatenate(scores), ends)] if scores else [], np.float32)


def _looks(volume: Volume, candidate: Candidate) -> list[tuple[float, float, float]]:
    z, y, x = candidate.index
    planes = {round(z + look * candidate.diameter_mm / volume.spacing_mm[0]) for look in LOOKS}
    return [(float(plane), y, x) for plane in sorted(planes)]
