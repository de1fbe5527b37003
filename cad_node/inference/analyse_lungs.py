"""The task "analyse_lungs": lungs, nodules inside them, for each its outline, its measures and the readers' likely opinion."""

from collections.abc import Mapping

import numpy as np

from cad_node.findings import Finding, Findings, Organ, Region
from cad_node.imaging.concepts import LEFT_LUNG, RIGHT_LUNG
from cad_node.imaging.lungs import Lungs
from cad_node.imaging.quantities import LungQuantities, NoduleQuantities, quantify_lungs, quantify_nodule
from cad_node.imaging.scope import judge
from cad_node.imaging.volume import Volume
from cad_node.inference.detect_nodules import Detection, detect_nodules
from cad_node.inference.judge_nodules import Judgement, judge_nodule
from cad_node.inference.model import OWN
from cad_node.inference.network import Network
from cad_node.inference.outline_nodules import outline_nodule
from cad_node.inference.segment_lungs import segment_lungs
from cad_node.manifest import Manifest


def analyse_lungs(volume: Volume, manifest: Manifest, networks: Mapping[str, Network]) -> Findings:
    """Nodules in the lungs, the surest first, and the lungs. Raises UnusableSeries if the image is no chest CT within the scope.

    networks: the detector's own, and the parts "lungs", "outline" and "malignancy".
    """
    remarks = judge(volume, manifest.accepts.scope)
    lungs = segment_lungs(volume, networks["lungs"])
    inside = lungs.mask(volume.voxels.shape)
    findings: list[Finding] = []
    taken = np.zeros(inside.shape, np.bool_)
    for detection in detect_nodules(volume, lungs, manifest, networks[OWN]):
        region = outline_nodule(volume, inside, detection.candidate, networks["outline"])
        if region is None or taken[region.slices][region.mask].any():
            continue
        quantities = quantify_nodule(volume, region, lungs)
        if not manifest.output.diameter_mm.holds(quantities.size.long_axis.length_mm):
            continue
        taken[region.slices] |= region.mask
        judgement = judge_nodule(volume, region, networks["malignancy"])
        findings.append(_finding(f"Nodule {len(findings) + 1}", manifest, detection, region, quantities, judgement))
        if len(findings) == manifest.output.limit:
            break
    quantities_of_lungs = quantify_lungs(volume, lungs)
    return Findings(tuple(findings), _organs(lungs, quantities_of_lungs), quantities_of_lungs.both, remarks)


def _finding(  # noqa: PLR0917 - one value of each type
    label: str, manifest: Manifest, detection: Detection, region: Region, quantities: NoduleQuantities, judgement: Judgement
) -> Finding:
    size = quantities.size
    return Finding(
        label=label,
        code=manifest.output.finding.code,
        site=quantities.site or manifest.output.site.code,
        centre_lps_mm=size.centre_lps_mm,
        score=detection.score,
        region=region,
        long_axis=size.long_axis,
        short_axis=size.short_axis,
        volume_mm3=size.volume_mm3,
        mean_hu=size.mean_hu,
        measurements=(*quantities.measurements, *judgement.measurements),
        evaluations=(*quantities.evaluations, *judgement.evaluations),
        heat=judgement.heat or detection.heat,
    )


def _organs(lungs: Lungs, quantities: LungQuantities) -> tuple[Organ, ...]:
    left = [Organ("Left lung", LEFT_LUNG, lungs.left, quantities.left)] if lungs.left else []
    right = [Organ("Right lung", RIGHT_LUNG, lungs.right, quantities.right)] if lungs.right else []
    return (*left, *right)
