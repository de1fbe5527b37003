"""Findings in the words of pictures and of the PDF."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sr.coding import Code

from cad_node.findings import Finding, Findings, Measurement
from cad_node.imaging.concepts import LOCATION_IN_CHEST, LUNG_QUANTITIES, PERCENT
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run
from cad_node.output.equipment import software_versions
from cad_node.output.pictures.fonts import covers


@dataclass(frozen=True, slots=True)
class Row:
    """A finding in a table."""

    number: int
    location: str
    size: str  # mm
    volume: str  # mm³
    mean_hu: str
    score: str
    rating: str  # empty where nothing was rated
    opinion: str
    image: str


def row(finding: Finding, number: int, volume: Volume) -> Row:
    rated = rating(finding)
    return Row(
        number=number,
        location=location(finding),
        size=f"{finding.long_axis.length_mm:.1f} × {finding.short_axis.length_mm:.1f}",
        volume=f"{finding.volume_mm3:.0f}",
        mean_hu=signed(finding.mean_hu),
        score=percent(100 * finding.score),
        rating=percent(rated.value) if rated else "",
        opinion=verdict(finding),
        image=image_number(volume, finding.long_axis.slice_index),
    )


def headline(findings: Findings, run: Run) -> str:
    """Whether what was sought was found."""
    sought, count = run.manifest.output.finding.meaning.lower(), len(findings.findings)
    if not count:
        return f"No {sought} detected by the algorithm"
    return f"{count} {sought}{'s' if count > 1 else ''} detected by the algorithm"


def location(finding: Finding) -> str:
    """The site, and within it the zone where that was told."""
    site = finding.site.meaning if finding.site else ""
    zones = [one.value.meaning for one in finding.evaluations if one.concept == LOCATION_IN_CHEST]
    return ", ".join(filter(None, (site, *(zone.lower().removesuffix(" of lung") for zone in zones))))


def rating(finding: Finding) -> Measurement | None:
    """The share that a coded judgement was read off: a percentage whose concept has an answer in codes too."""
    judged = {one.concept for one in finding.evaluations}
    return next((one for one in finding.measurements if one.concept in judged and one.unit == PERCENT and not one.derivation), None)


def verdict(finding: Finding) -> str:
    """The coded answer to what was rated."""
    rated = rating(finding)
    return next((one.value.meaning for one in finding.evaluations if rated and one.concept == rated.concept), "")


def legend(findings: Findings, run: Run) -> str:
    """What the columns of scores and ratings say."""
    rated = next(filter(None, map(rating, findings.findings)), None)
    named = rated.concept.meaning if rated else ""
    return f"Score: {run.manifest.output.meaning.meaning.lower()}." + (f" Rating: {named[:1].lower()}{named[1:]}." if named else "")


def organ_table(findings: Findings) -> list[list[str]]:
    """A heading and a line for each organ and for all of them together; empty where nothing was measured."""
    measured = [(organ.label, organ.measurements) for organ in findings.organs if organ.measurements]
    if findings.measurements:
        measured.append(("Together", findings.measurements))
    titles = list(dict.fromkeys(_title(one) for _, measurements in measured for one in measurements))
    if not titles:
        return []
    lines = [[label, *_values(measurements, titles)] for label, measurements in measured]
    return [["", *titles], *lines]


def algorithm(run: Run, whole: bool = False) -> str:
    """The model as it is called and its version. whole: also in characters that can't be drawn, else by its name."""
    return f"{run.manifest.title if whole or covers(run.manifest.title) else run.manifest.name} {run.manifest.version}"


def software(run: Run) -> str:
    """The model by its name, its parts, and the node, each with its version."""
    _, *others = software_versions(run)
    return ", ".join((f"{run.manifest.name} {run.manifest.version}", *others))


def source(volume: Volume, header: Dataset, whole: bool = False) -> str:
    """The series that was analysed. whole: with its description also in characters that can't be drawn."""
    told = str(header.get("SeriesDescription") or "")
    number = header.get("SeriesNumber")
    named = " ".join(
        filter(None, (f"{header.get('Modality', '')} series", str(number or ""), f"“{told}”" if told and (whole or covers(told)) else ""))
    )
    taken = date(header.get("SeriesDate") or header.get("AcquisitionDate") or header.get("StudyDate"))
    return " · ".join(filter(None, (named, taken, f"{len(volume.sources)} images, {volume.spacing_mm[0]:.2f} mm apart")))


def person(name: object) -> str:
    """A PN as people read it: each of its groups, their parts without carets."""
    groups = (" ".join(filter(None, group.split("^"))) for group in str(name or "").split("="))
    return " · ".join(filter(None, groups))


def text_of(value: object) -> str:
    """A text that may hold what DICOM takes for a separator."""
    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "")


def date(value: object) -> str:
    """A DA as people read it."""
    digits = str(value or "")
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}" if len(digits) == 8 and digits.isdigit() else digits


def image_number(volume: Volume, slice_index: int) -> str:
    """By which viewers list the source's images."""
    return str(volume.sources[slice_index].get("InstanceNumber") or "")


def percent(value: float) -> str:
    """Of an estimate: never rounded to what would be certain."""
    return "< 1 %" if value < 1 else "> 99 %" if value > 99 else f"{value:.0f} %"


def unit(code: Code) -> str:
    """As people write it, where UCUM doesn't."""
    return _UNITS.get(code.value, code.value)


def signed(value: float, decimals: int = 0) -> str:
    return f"{value:.{decimals}f}".replace("-", "−")


def _title(measured: Measurement) -> str:
    known = (one for one in LUNG_QUANTITIES if (one.concept, one.derivation) == (measured.concept, measured.derivation))
    title = next((one.title for one in known), measured.concept.meaning)
    return f"{title} ({unit(measured.unit)})"


def _values(measurements: Sequence[Measurement], titles: Sequence[str]) -> list[str]:
    told = {_title(one): signed(one.value, 0 if abs(one.value) >= 100 else 1) for one in measurements}
    return [told.get(title, "") for title in titles]


_UNITS = {"[hnsf'U]": "HU", "cm3": "cm³", "mm3": "mm³", "/cm2": "/cm²"}
