"""The task "detect_nodules": lungs, candidates inside them, a score for each, an outline for those that count."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from cad_node.findings import Finding, Findings, Organ, Region
from cad_node.imaging.candidates import Candidate, find_candidates
from cad_node.imaging.lungs import Lungs, segment_lungs
from cad_node.imaging.measure import Size, measure
from cad_node.imaging.nodules import delineate
from cad_node.imaging.patches import cut_patches
from cad_node.imaging.volume import Volume
from cad_node.manifest import Manifest

Score = Callable[[NDArray[np.float32]], NDArray[np.float32]]

LEFT_LUNG = Code("44029006", "SCT", "Left lung")
RIGHT_LUNG = Code("3341006", "SCT", "Right lung")
LOOKS = (-0.25, 0.0, 0.25)  # of the diameter: the slices on which a candidate is scored; the mean counts


def detect_nodules(volume: Volume, manifest: Manifest, score: Score) -> Findings:
    """Nodules in the lungs, the surest first, and the lungs. Raises UnusableSeries if there are no lungs.

    score: the network; patches (N, 1, P, P) float32 HU -> (N,) 0..1.
    """
    lungs = segment_lungs(volume)
    inside = lungs.mask(volume.voxels.shape)
    candidates = find_candidates(volume, lungs, manifest.candidates.diameter_mm, manifest.candidates.limit)
    scores = _scores(volume, candidates, manifest, score)
    findings: list[Finding] = []
    taken = np.zeros(inside.shape, np.bool_)
    for index in np.argsort(-scores, kind="stable"):
        if scores[index] < manifest.output.threshold or len(findings) == manifest.output.limit:
            break
        region = delineate(volume, inside, candidates[index])
        if region is None or taken[region.slices][region.mask].any():
            continue
        size = measure(volume, region)
        if manifest.candidates.diameter_mm.holds(size.long_axis.length_mm):
            taken[region.slices] |= region.mask
            site = _side(region, lungs) or manifest.output.site.code
            findings.append(_finding(f"Nodule {len(findings) + 1}", manifest.output.finding.code, site, float(scores[index]), region, size))
    return Findings(tuple(findings), _organs(lungs))


def _scores(volume: Volume, candidates: tuple[Candidate, ...], manifest: Manifest, score: Score) -> NDArray[np.float32]:
    """(N,) the mean of each candidate's looks."""
    centres = [
        (z + look * candidate.diameter_mm / volume.spacing_mm[0], y, x)
        for candidate in candidates
        for look in LOOKS
        for z, y, x in [candidate.index]
    ]
    size = manifest.patches.batch
    batches = [cut_patches(volume, centres[start : start + size], manifest.patches.size_px) for start in range(0, len(centres), size)]
    scores = np.concatenate([score(batch) for batch in batches]) if batches else np.zeros(0, np.float32)
    return np.asarray(scores.reshape(-1, len(LOOKS)).mean(axis=1), np.float32)


def _finding(label: str, code: Code, site: Code, score: float, region: Region, size: Size) -> Finding:  # noqa: PLR0917 - one value of each type
    return Finding(
        label=label,
        code=code,
        site=site,
        centre_lps_mm=size.centre_lps_mm,
        score=score,
        region=region,
        long_axis=size.long_axis,
        short_axis=size.short_axis,
        volume_mm3=size.volume_mm3,
        mean_hu=size.mean_hu,
    )


def _side(nodule: Region, lungs: Lungs) -> Code | None:
    """The lung that holds the nodule's first voxel."""
    voxel = np.argwhere(nodule.mask)[0] + nodule.origin
    for code, lung in ((LEFT_LUNG, lungs.left), (RIGHT_LUNG, lungs.right)):
        if lung:
            index = voxel - lung.origin
            if np.all(index >= 0) and np.all(index < lung.mask.shape) and lung.mask[tuple(index)]:
                return code
    return None


def _organs(lungs: Lungs) -> tuple[Organ, ...]:
    named = (("Left lung", LEFT_LUNG, lungs.left), ("Right lung", RIGHT_LUNG, lungs.right))
    return tuple(Organ(label, code, region) for label, code, region in named if region)
