"""What readers would likely say of a nodule: an opinion learnt from radiologists' opinions, not from pathology."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cad_node.findings import Evaluation, Heat, Measurement, Region
from cad_node.imaging.concepts import PERCENT, private
from cad_node.imaging.heat import heat_of_judgement
from cad_node.imaging.nodule_slabs import cut_judgement_slab
from cad_node.imaging.volume import Volume
from cad_node.inference.network import Arrays, Network

PRESENT, ABSENT = Code("52101004", "SCT", "Present"), Code("2667000", "SCT", "Absent")
TEXTURE, CALCIFICATION = codes.DCM.TextureDescriptor, codes.DCM.CalcificationDescriptor  # 112010, 112030
SPICULATED = codes.DCM.Spiculated  # 112136
NON_SOLID = Code("RID50153", "RADLEX", "non-solid pulmonary nodule")
PART_SOLID = Code("RID50152", "RADLEX", "part-solid pulmonary nodule")
SOLID = Code("RID50151", "RADLEX", "solid pulmonary nodule")
INDETERMINATE = codes.SCT.Indeterminate  # 82334004

# No public scheme has these: (111047, DCM, "Probability of cancer") is what pathology would settle, and this isn't.
SUSPICION = private("SUSPICION", "Suspicion of malignancy, as readers rate it")
SUSPICIOUS = private("SUSPICIOUS", "Suspicious in readers' opinion")
UNSUSPICIOUS = private("UNSUSPICIOUS", "Unsuspicious in readers' opinion")
SUSPICION_EVIDENCE = private("SUSPICION_HEAT", "Evidence for suspicion of malignancy")
LEARNT_FROM_READERS = private("READERS_OPINION", "Learnt from radiologists' ratings, not from pathology")

RATED_PRESENT = 3.0  # of 1 to 5: the middle of the readers' scale
TEXTURES = ((2.0, NON_SOLID), (4.0, PART_SOLID), (float("inf"), SOLID))  # rating up to which: 1 is ground glass, 3 part-solid, 5 solid


@dataclass(frozen=True, slots=True)
class Judgement:
    """malignancy: 0..1, likely share of readers who'd call it suspicious rather than not. spread: SD among the ensemble's members.

    certain: whether the number may be read as suspicious or unsuspicious. texture, spiculation: as readers rate, 1..5. calcification: 0..1.
    heat: what each place adds to the logit of malignancy; None where the network doesn't say.
    """

    malignancy: float
    spread: float
    certain: bool
    texture: float
    spiculation: float
    calcification: float
    heat: Heat | None = None

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        return (
            Measurement(SUSPICION, round(100 * self.malignancy, 1), PERCENT, LEARNT_FROM_READERS),
            Measurement(SUSPICION, round(100 * self.spread, 1), PERCENT, LEARNT_FROM_READERS, codes.SCT.StandardDeviation),
        )

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        opinion = SUSPICIOUS if self.malignancy >= 0.5 else UNSUSPICIOUS
        return (
            Evaluation(SUSPICION, opinion if self.certain else INDETERMINATE),
            Evaluation(TEXTURE, next(code for limit, code in TEXTURES if self.texture <= limit)),
            Evaluation(SPICULATED, PRESENT if self.spiculation >= RATED_PRESENT else ABSENT),
            Evaluation(CALCIFICATION, PRESENT if self.calcification >= 0.5 else ABSENT),
        )


def judge_nodule(volume: Volume, region: Region, network: Network) -> Judgement:
    """The judgement on the nodule outlined by `region`.

    network: slabs (N, 3, 48, 48) HU -> "malignancy", "spread", "texture", "spiculation", "calcification", (N,) each, and perhaps
    "activation" (N, 48, 48), whose mean is the members' mean logit before calibration;
    its parameters "uncertain_from" and "uncertain_to" bound the middle band, "uncertain_spread" the members' disagreement;
    with an activation, "calibration_scale".
    """
    outputs = network.run(cut_judgement_slab(volume.voxels, volume.spacing_mm, region)[None])
    values = {name: float(outputs[name][0]) for name in ("malignancy", "spread", "texture", "spiculation", "calcification")}
    limits = network.parameters
    inside = limits["uncertain_from"] < values["malignancy"] < limits["uncertain_to"]
    certain = not inside and values["spread"] <= limits["uncertain_spread"]
    return Judgement(**values, certain=certain, heat=_heat(volume, region, outputs, limits))


def _heat(volume: Volume, region: Region, outputs: Arrays, parameters: Mapping[str, float]) -> Heat | None:
    if "activation" not in outputs:
        return None
    evidence = outputs["activation"][0]
    return heat_of_judgement(volume, region, evidence * np.float32(parameters["calibration_scale"] / evidence.size), SUSPICION_EVIDENCE)
