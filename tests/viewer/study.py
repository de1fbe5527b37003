"""A slab of the chest CT phantom with three nodules whose place is known, as volume and findings: what the viewer is shown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from cad_node.findings import Finding, Findings, Heat, Organ
from cad_node.imaging.concepts import LEFT_LUNG, RIGHT_LUNG
from cad_node.imaging.lungs import Lungs
from cad_node.imaging.quantities import LungQuantities, quantify_lungs, quantify_nodule
from cad_node.imaging.volume import Volume
from cad_node.inference.judge_nodules import Judgement
from cad_node.phantom import phantom_study
from cad_node.phantom.nodules import PhantomNodule
from tests.factory import altered
from tests.output import case

SLICES = 24
NODULES = (  # the likeliest first; each on slices of its own, so that frames that are left out would show
    PhantomNodule((-78.0, -8.0, 8.0), 14.0),
    PhantomNodule((72.0, -24.0, -2.0), 16.0, density_hu=-560.0, core_diameter_mm=8.0),  # part-solid
    PhantomNodule((84.0, 34.0, 14.0), 9.0),
)
_AIR_HU = -500


@dataclass(frozen=True, slots=True)
class Case:
    """One CT series and what was found in it. datasets: with pixels, as the PACS gets them."""

    datasets: tuple[Dataset, ...]
    volume: Volume
    findings: Findings

    @property
    def study_instance_uid(self) -> str:
        return str(self.datasets[0].StudyInstanceUID)


def positive_case() -> Case:
    """Three nodules in two lungs, with their heat."""
    return _case(NODULES)


def negative_case() -> Case:
    """Two lungs, nothing in them."""
    return _case(())


def _case(nodules: Sequence[PhantomNodule]) -> Case:
    datasets = phantom_study(SLICES, nodules=nodules).datasets
    volume = case.volume([altered(ds) for ds in datasets])
    lungs = _lungs(volume)
    of_lungs = quantify_lungs(volume, lungs)
    findings = tuple(_finding(volume, lungs, nodule, number) for number, nodule in enumerate(nodules, 1))
    return Case(datasets, volume, Findings(findings, _organs(lungs, of_lungs), of_lungs.both))


def _lungs(volume: Volume) -> Lungs:
    """All but the thorax wall and the mediastinum: air that doesn't reach the image's edge, its holes filled."""
    air, _ = ndimage.label(ndimage.binary_opening(volume.voxels < _AIR_HU, np.ones((1, 3, 3))))
    sizes = np.bincount(air.ravel())
    outside = np.unique(np.concatenate([air[:, 0].ravel(), air[:, -1].ravel(), air[:, :, 0].ravel(), air[:, :, -1].ravel()]))
    sizes[[0, *outside]] = 0
    halves = [air == label for label in np.argsort(sizes)[-2:]]
    right, left = sorted(halves, key=lambda half: ndimage.center_of_mass(half)[2])
    return Lungs(case.crop(_filled(left)), case.crop(_filled(right)))


def _filled(half: NDArray[np.bool_]) -> NDArray[np.bool_]:
    closed = ndimage.binary_closing(half, np.ones((1, 9, 9)))
    return np.stack([ndimage.binary_fill_holes(plane) for plane in closed])


def _organs(lungs: Lungs, of_lungs: LungQuantities) -> tuple[Organ, ...]:
    assert lungs.left
    assert lungs.right
    return Organ("Left lung", LEFT_LUNG, lungs.left, of_lungs.left), Organ("Right lung", RIGHT_LUNG, lungs.right, of_lungs.right)


def _finding(volume: Volume, lungs: Lungs, nodule: PhantomNodule, number: int) -> Finding:
    distance_mm = _distance_mm(volume, nodule)
    region = case.crop(distance_mm <= nodule.diameter_mm / 2)
    quantities = quantify_nodule(volume, region, lungs)
    judgement = Judgement(0.9 - 0.25 * number, 0.04, number != 2, 5.0 if nodule.density_hu > 0 else 3.0, 2.0, 0.1)
    return Finding(
        label=f"Nodule {number}",
        code=case.NODULE,
        site=quantities.site,
        centre_lps_mm=quantities.size.centre_lps_mm,
        score=1.0 - 0.07 * number,
        region=region,
        long_axis=quantities.size.long_axis,
        short_axis=quantities.size.short_axis,
        volume_mm3=quantities.size.volume_mm3,
        mean_hu=quantities.size.mean_hu,
        measurements=(*quantities.measurements, *judgement.measurements),
        evaluations=(*quantities.evaluations, *judgement.evaluations),
        heat=_heat(distance_mm, nodule),
    )


def _heat(distance_mm: NDArray[np.float64], nodule: PhantomNodule) -> Heat:
    """Warmest in the nodule's middle, cold one diameter away."""
    box = case.crop(distance_mm <= nodule.diameter_mm)
    warmth = np.exp(-((2 * distance_mm[box.slices] / nodule.diameter_mm) ** 2))
    return Heat(box.origin, warmth.astype(np.float32), case.EVIDENCE, case.PER_CM2)


def _distance_mm(volume: Volume, nodule: PhantomNodule) -> NDArray[np.float64]:
    """Of each voxel's middle from the nodule's; the phantom's axes are the patient's."""
    z, y, x = (
        volume.to_lps((0, 0, 0))[axis] + step * np.arange(size) - nodule.centre_lps_mm[axis]
        for axis, step, size in zip((2, 1, 0), volume.spacing_mm, volume.voxels.shape, strict=True)
    )
    return np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
