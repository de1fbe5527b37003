"""Nodules in lungs that are outlined already: candidates, and a score for each from several slices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cad_node.findings import Heat
from cad_node.imaging.candidates import Candidate, find_candidates
from cad_node.imaging.concepts import private
from cad_node.imaging.heat import heat_of_patches
from cad_node.imaging.lungs import Lungs
from cad_node.imaging.patches import cut_patches
from cad_node.imaging.volume import Volume
from cad_node.inference.network import Network
from cad_node.manifest import Manifest

LOOKS = (-0.25, 0.0, 0.25)  # of the diameter: the slices on which a candidate is scored; the mean counts
BATCH = 32
NODULE_EVIDENCE = private("NODULE_HEAT", "Evidence for a nodule")
SPARE = 2  # as many detections as findings may be reported: outlines that overlap become one


@dataclass(frozen=True, slots=True)
class Detection:
    """heat: what each place adds to the score's logit; None where the network doesn't say."""

    candidate: Candidate
    score: float  # 0..1
    heat: Heat | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the network says of one candidate: of each look its centre, score and perhaps activation, (looks, P, P)."""

    centres: list[tuple[float, float, float]]
    scores: NDArray[np.float32]
    activation: NDArray[np.float32] | None


def detect_nodules(volume: Volume, lungs: Lungs, manifest: Manifest, network: Network) -> tuple[Detection, ...]:
    """What scores at least the network's threshold, the surest first: at most twice as many as the manifest reports.

    network: patches (N, 1, P, P) float32 HU -> "scores" (N,) 0..1, and perhaps "activation" (N, P, P), what each pixel adds to the
    score's logit; its parameters say threshold and patch_px.
    """
    candidates = find_candidates(volume, lungs, manifest.candidates.diameter_mm, manifest.candidates.limit)
    seen = _look_at(volume, candidates, network)
    scores = _scores(seen)
    surest = np.argsort(-scores, kind="stable")[: SPARE * manifest.output.limit]
    threshold = network.parameters["threshold"]
    return tuple(
        Detection(candidates[index], float(scores[index]), _heat(volume, seen[index])) for index in surest if scores[index] >= threshold
    )


def score_candidates(volume: Volume, candidates: Sequence[Candidate], network: Network) -> NDArray[np.float32]:
    """(N,) the mean of each candidate's looks; slices that are the same are looked at once."""
    return _scores(_look_at(volume, candidates, network))


def _look_at(volume: Volume, candidates: Sequence[Candidate], network: Network) -> list[_Seen]:
    centres = [_looks(volume, candidate) for candidate in candidates]
    patches = [centre for looks in centres for centre in looks]
    size_px = int(network.parameters["patch_px"])
    outputs = [network.run(cut_patches(volume, patches[start : start + BATCH], size_px)) for start in range(0, len(patches), BATCH)]
    if not outputs:
        return []
    ends = np.cumsum([len(looks) for looks in centres])[:-1]
    scores = np.split(np.concatenate([output["scores"] for output in outputs]), ends)
    if "activation" not in outputs[0]:
        return [_Seen(looks, part, None) for looks, part in zip(centres, scores, strict=True)]
    activation = np.split(np.concatenate([output["activation"] for output in outputs]), ends)
    return [_Seen(looks, part, maps) for looks, part, maps in zip(centres, scores, activation, strict=True)]


def _scores(seen: Sequence[_Seen]) -> NDArray[np.float32]:
    return np.array([one.scores.mean() for one in seen], np.float32)


def _heat(volume: Volume, seen: _Seen) -> Heat | None:
    return None if seen.activation is None else heat_of_patches(volume, seen.centres, seen.activation, NODULE_EVIDENCE)


def _looks(volume: Volume, candidate: Candidate) -> list[tuple[float, float, float]]:
    z, y, x = candidate.index
    planes = {round(z + look * candidate.diameter_mm / volume.spacing_mm[0]) for look in LOOKS}
    return [(float(plane), y, x) for plane in sorted(planes)]
