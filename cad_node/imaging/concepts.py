"""What is measured and how: each quantity's codes, unit, method, formula and limits, in one place for reports and documents."""

from dataclasses import dataclass

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cad_node.findings import Measurement

SOLID_HU = -300  # Scholten et al., Eur Radiol 2015;25:488: tells part-solid from non-solid with 90 % sensitivity and 88 % specificity
LOW_ATTENUATION_HU = -950  # Gevenois et al., Am J Respir Crit Care Med 1996;154:187

MILLIMETER = Code("mm", "UCUM", "millimeter")
CUBIC_MILLIMETER = Code("mm3", "UCUM", "cubic millimeter")
CUBIC_CENTIMETER = Code("cm3", "UCUM", "cubic centimeter")
HOUNSFIELD_UNIT = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
PERCENT = Code("%", "UCUM", "Percent")


def private(value: str, meaning: str) -> Code:
    """A concept that no public scheme has; listed in docs/conformance.md. At most 16 characters: readers stumble over Long Code Value."""
    assert len(value) <= 16, value  # Code Value is an SH, PS3.3 8.1
    return Code(value, "99CADNODE", meaning)


PARTIAL_VOLUME = private("PARTIAL_VOLUME", "Sum of voxels weighted by partial volume")
HALF_CONTRAST = private("HALF_CONTRAST", "Between surface points at half contrast")
EQUAL_BALL = private("EQUAL_BALL", "Ball of equal volume")
ABOVE_SOLID_HU = private("ABOVE_SOLID_HU", f"Voxels above {SOLID_HU} HU")
BELOW_LOW_HU = private("BELOW_LOW_HU", f"Voxels below {LOW_ATTENUATION_HU} HU")
NEAREST_BORDER = private("NEAREST_BORDER", "Surface to nearest lung border")
CENTRE_TO_POINT = private("CENTRE_TO_POINT", "Centre to point")
WIDEST_SECTION = private("WIDEST_SECTION", "On the axial section of greatest area")
VOXEL_SUM = codes.DCM.SumOfSegmentedVoxelMethodForVolume  # (126030, DCM)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A kind of measurement. formula and limits are what a reader must know to use the number."""

    title: str
    concept: Code
    unit: Code
    formula: str
    limits: str
    method: Code | None = None
    derivation: Code | None = None
    decimals: int = 1

    def of(self, value: float) -> Measurement:
        return Measurement(self.concept, round(value, self.decimals), self.unit, self.method, self.derivation)


_ATTENUATION = codes.DCM.AttenuationCoefficient
_SEGMENT_HU = "HU of the segment's voxels"
_RIM_INCLUDED = "border voxels hold lung too: small nodules read darker than they are"

VOLUME = Quantity(
    "Volume",
    codes.SCT.Volume,
    CUBIC_MILLIMETER,
    "voxel volume × Σ share; share = (HU − lung) / (nodule − lung) up to 1.75 mm, at least a voxel, on both sides of the outline; 1 within",
    "from 6 mm at slices up to 1.25 mm, see below; too large where slices are as thick as the nodule",
    method=PARTIAL_VOLUME,
)
SEGMENT_VOLUME = Quantity(
    "Segment volume",
    codes.IBSI.VolumeFromVoxelSummation,
    CUBIC_MILLIMETER,
    "voxel volume × number of the segment's voxels",
    "what the Segmentation shows, to compare with other software; smaller than the volume for small nodules",
    method=VOXEL_SUM,
)
LONG_AXIS = Quantity(
    "Long axis",
    Code("103339001", "SCT", "Long Axis"),  # with the capital that OHIF compares
    MILLIMETER,
    "greatest distance of two points of the surface (share = 1/2, between pixels) on one slice, over all slices",
    "blur and thick slices shorten it: by up to half a millimetre at slices of 1.25 mm, about 1 mm at 5 mm",
    method=HALF_CONTRAST,
    decimals=2,
)
SHORT_AXIS = Quantity(
    "Short axis",
    Code("103340004", "SCT", "Short Axis"),
    MILLIMETER,
    "longest unbroken chord at right angles to the long axis, on the same slice",
    "as the long axis",
    method=HALF_CONTRAST,
    decimals=2,
)
EFFECTIVE_DIAMETER = Quantity(
    "Effective diameter", codes.SCT.Diameter, MILLIMETER, "∛(6 · volume / π)", "as the volume", method=EQUAL_BALL, decimals=2
)
MEAN_HU = Quantity("Mean HU", _ATTENUATION, HOUNSFIELD_UNIT, f"mean of the {_SEGMENT_HU}", _RIM_INCLUDED, derivation=codes.SCT.Mean)
SD_HU = Quantity(
    "SD of HU",
    _ATTENUATION,
    HOUNSFIELD_UNIT,
    f"standard deviation (n) of the {_SEGMENT_HU}",
    "noise and the border's voxels are in it",
    derivation=codes.SCT.StandardDeviation,
)
PERCENTILES_HU = {
    percent: Quantity(
        f"{percent}th percentile of HU",
        _ATTENUATION,
        HOUNSFIELD_UNIT,
        f"{percent}th percentile of the {_SEGMENT_HU}, linear between ranks",
        limits,
        derivation=derivation,
    )
    for percent, derivation, limits in (
        (5, codes.cid7465._5thPercentileValueOfPopulation, "mostly the border's voxels"),
        (50, codes.SCT.Median, "the nodule's own HU from about 8 mm"),
        (95, codes.cid7465._95thPercentileValueOfPopulation, "calcification, contrast or noise raise it"),
    )
}
SOLID_EXTENT = Quantity(
    "Solid fraction",
    private("SOLID_EXTENT", "Solid extent as percent of volume"),
    PERCENT,
    f"share of the segment's voxels above {SOLID_HU} HU (Scholten et al., Eur Radiol 2015;25:488)",
    "a solid nodule's border counts as not solid: 100 % is reached by large ones only; vessels inside count as solid",
    method=ABOVE_SOLID_HU,
)
PLEURA_DISTANCE = Quantity(
    "Distance to the pleura",
    private("DISTANCE_PLEURA", "Distance to pleura"),
    MILLIMETER,
    "from the segment's surface to the nearest border of its lung, costal, diaphragmatic or mediastinal; 0 where it touches",
    "fissures aren't seen; steps of a voxel",
    method=NEAREST_BORDER,
)
CARINA_DISTANCE = Quantity(
    "Distance to the carina",
    private("DISTANCE_CARINA", "Distance to carina"),
    MILLIMETER,
    "from the segment's centre to the carina",
    "absent where no carina was found",
    method=CENTRE_TO_POINT,
)
LUNG_VOLUME = Quantity(
    "Lung volume",
    codes.SCT.Volume,
    CUBIC_CENTIMETER,
    "voxel volume × number of the lung's voxels",
    "vessels, nodules and effusion inside the outline count; depends on the breath",
    method=VOXEL_SUM,
)
LUNG_DENSITY = Quantity(
    "Mean lung density",
    _ATTENUATION,
    HOUNSFIELD_UNIT,
    "mean of the HU of the lung's voxels",
    "vessels are in it; depends on the breath and on contrast",
    derivation=codes.SCT.Mean,
)
LOW_ATTENUATION_AREA = Quantity(
    "Emphysema index (LAA-950)",
    private("LAA_950", "Low attenuation area as percent of lung volume"),
    PERCENT,
    f"share of the lung's voxels below {LOW_ATTENUATION_HU} HU (Gevenois et al., Am J Respir Crit Care Med 1996;154:187)",
    "noise and sharp kernels raise it: compare scans of one protocol, in full inspiration",
    method=BELOW_LOW_HU,
    decimals=2,
)
SECTION_AXIS = Quantity(
    "Long axis of the section",
    LONG_AXIS.concept,
    MILLIMETER,
    "greatest distance of two border points on the axial section of greatest area",
    "the length isn't of interest: it draws the lung's measurements where viewers want coordinates",
    method=WIDEST_SECTION,
)

NODULE_QUANTITIES = (
    VOLUME,
    SEGMENT_VOLUME,
    LONG_AXIS,
    SHORT_AXIS,
    EFFECTIVE_DIAMETER,
    MEAN_HU,
    SD_HU,
    *PERCENTILES_HU.values(),
    SOLID_EXTENT,
    PLEURA_DISTANCE,
    CARINA_DISTANCE,
)
LUNG_QUANTITIES = (LUNG_VOLUME, LUNG_DENSITY, LOW_ATTENUATION_AREA, SECTION_AXIS)

LOCATION_IN_CHEST = codes.DCM.LocationInChest  # (112013, DCM)
ZONES: tuple[Code, Code, Code] = (
    codes.cid6171.LowerZoneOfLung,
    codes.cid6171.MiddleZoneOfLung,
    codes.cid6171.UpperZoneOfLung,
)  # from the feet up
LEFT_LUNG = Code("44029006", "SCT", "Left lung")
RIGHT_LUNG = Code("3341006", "SCT", "Right lung")
