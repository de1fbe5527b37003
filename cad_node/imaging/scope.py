"""The input guard: whether a loaded series is what a lung model was made for. The image decides, whatever the tags say.

Modality, SOP class, body part tag, number and spacing of slices are judged before, by the manifest and the loader.
"""

from collections.abc import Iterator

from cad_node.errors import Refusal, UnusableSeries
from cad_node.findings import Caution, Remark
from cad_node.imaging.acquisition import has_sharp_kernel, judge_acquisition
from cad_node.imaging.quality import Quality, measure_quality
from cad_node.imaging.survey import Survey, survey
from cad_node.imaging.volume import Volume
from cad_node.scope_limits import Scope

FEWEST_AIR = 0.005  # of all pixels: every CT shows some air, in the patient or around
FEWEST_SOFT = 0.3  # of the body: a chest with the largest lungs has half
LEAST_LIKENESS = 0.8  # of neighbouring slices: 0.93 and more on chest CT, below 0.75 between different patients
MOST_LIKENESS = 0.9995  # no two slices of a patient are the same
LUNG_HU = (-960, -450)  # mean of air inside a chest; gas is darker, what isn't inflated brighter
UNIFORM_HU = 10.0  # SD inside a phantom; muscle beside fat makes 50
BONY = 0.15  # share of bone in a head; a chest has 0.03 to 0.14
REMARKED_END_SHARE = 0.15  # a whole scan shows less on its first and last slice
REMARKED_CUT_CM2 = 10.0


def judge(volume: Volume, scope: Scope) -> tuple[Remark, ...]:
    """What is to be remarked, one of each code. Raises UnusableSeries if it isn't a chest CT within the limits."""
    quality = measure_quality(volume)
    remarks = [*judge_acquisition(volume, scope), *_judge_noise(volume, quality, scope), *_judge_anatomy(volume, quality, scope)]
    remarks += [*_judge_contrast(quality, scope), *_judge_kernel(volume, quality, scope)]
    first_of_each = {remark.code: remark for remark in reversed(remarks)}
    return tuple(first_of_each[code] for code in Caution if code in first_of_each)


def _judge_noise(volume: Volume, quality: Quality, scope: Scope) -> Iterator[Remark]:
    noise_hu = quality.noise_hu
    if noise_hu is not None and noise_hu > scope.noise_hu:
        why = f"noise of {noise_hu:.0f} HU in soft tissue, limit {scope.noise_hu:g}; send a smoother reconstruction"
        raise UnusableSeries(Refusal.TOO_NOISY, volume.series_instance_uid, why)
    if noise_hu is not None and noise_hu > scope.remark_noise_hu:
        yield Remark(Caution.NOISE, f"noise of {noise_hu:.0f} HU in soft tissue")


def _judge_anatomy(volume: Volume, quality: Quality, scope: Scope) -> Iterator[Remark]:
    seen, uid = survey(volume, quality.noise_hu or 0.0), volume.series_instance_uid
    if why := _not_ct(seen):
        raise UnusableSeries(Refusal.VALUES_NOT_HU, uid, f"{why}: its pixel values aren't HU; send the original CT series")
    if why := _phantom(seen, scope):
        raise UnusableSeries(Refusal.PHANTOM, uid, f"{why}: it looks like a test phantom; send a chest CT")
    if not LEAST_LIKENESS <= seen.likeness <= MOST_LIKENESS:
        why = f"neighbouring slices correlate by {seen.likeness:.3g}, those of a body by {LEAST_LIKENESS} to {MOST_LIKENESS}"
        raise UnusableSeries(Refusal.NOT_A_VOLUME, uid, f"{why}: its images aren't slices of one body; send the original CT series")
    if why := _no_chest(seen, scope):
        raise UnusableSeries(Refusal.WRONG_BODY_PART, uid, f"{why}; send a series that shows both lungs")
    yield from _judge_field_of_view(seen, scope, uid)


def _not_ct(seen: Survey) -> str:
    if seen.air_share < FEWEST_AIR:
        return "no air is in the image"
    if seen.soft_share < FEWEST_SOFT:
        return f"{seen.soft_share:.0%} of what it shows has the HU of soft tissue, a body has {FEWEST_SOFT:.0%} and more"
    return ""


def _phantom(seen: Survey, scope: Scope) -> str:
    if seen.is_round:
        return "a circle of the same size on every slice"
    if seen.spread_hu is not None and seen.spread_hu < UNIFORM_HU and seen.lung_ml < scope.lung_ml:
        return f"the same HU everywhere inside (SD {seen.spread_hu:.0f} HU, a body has {UNIFORM_HU:.0f} and more)"
    return ""


def _no_chest(seen: Survey, scope: Scope) -> str:
    if seen.lung_ml < scope.lung_ml:
        guess = "it looks like a head" if seen.bone_share > BONY else "it shows another part of the body"
        return f"{seen.lung_ml:.0f} ml of air inside the body, a chest has {scope.lung_ml:.0f} and more: {guess}"
    if not LUNG_HU[0] <= seen.lung_hu <= LUNG_HU[1]:
        return f"the air inside the body has {seen.lung_hu:.0f} HU, lungs have {LUNG_HU[0]} to {LUNG_HU[1]}"
    return ""


def _judge_field_of_view(seen: Survey, scope: Scope, uid: str) -> Iterator[Remark]:
    end_share = max(seen.end_shares)
    at_end = f"the {'first' if end_share == seen.end_shares[0] else 'last'} slice shows {end_share:.0%} of the lungs' largest section"
    at_sides = f"the sides of the image cut the lungs over {seen.cut_cm2:.0f} cm²"
    if end_share > scope.lung_end_share:
        why = f"{at_end}, limit {scope.lung_end_share:.0%}; send a series that shows the whole lungs"
        raise UnusableSeries(Refusal.FIELD_OF_VIEW_CUT, uid, why)
    if seen.cut_cm2 > scope.lung_cut_cm2:
        why = f"{at_sides}, limit {scope.lung_cut_cm2:.0f} cm²; send a reconstruction with a larger field of view"
        raise UnusableSeries(Refusal.FIELD_OF_VIEW_CUT, uid, why)
    if end_share > REMARKED_END_SHARE:
        yield Remark(Caution.LUNGS_CUT, f"{at_end}: the lungs aren't shown as a whole")
    if seen.cut_cm2 > REMARKED_CUT_CM2:
        yield Remark(Caution.LUNGS_CUT, at_sides)


def _judge_contrast(quality: Quality, scope: Scope) -> Iterator[Remark]:
    if quality.blood_hu is not None and quality.blood_hu > scope.remark_blood_hu:
        yield Remark(Caution.CONTRAST_AGENT, f"contrast agent in the vessels: {quality.blood_hu:.0f} HU in the middle of the chest")


def _judge_kernel(volume: Volume, quality: Quality, scope: Scope) -> Iterator[Remark]:
    """The measured grain decides; the kernel's name where it can't be measured."""
    header, grain_mm = volume.sources[0], quality.grain_mm
    if has_sharp_kernel(header) if grain_mm is None else grain_mm < scope.remark_grain_mm:
        name = str(header.get("ConvolutionKernel") or "unnamed")[:64]
        how = "by its name" if grain_mm is None else f"the noise's grain has a sigma of {grain_mm:.2f} mm"
        yield Remark(Caution.SHARP_KERNEL, f"sharp kernel {name}: {how}")
