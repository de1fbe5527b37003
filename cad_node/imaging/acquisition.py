"""How the headers say that a series was made: what makes it unfit, and what a reader of its results should know."""

import re
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from cad_node.errors import Refusal, UnusableSeries
from cad_node.findings import Caution, Remark
from cad_node.imaging.volume import Volume
from cad_node.scope_limits import Scope

# Values of Image Type whose pixels aren't the attenuation of one slice, PS3.3 C.8.2.1.1.1 and C.8.16.1.4; vendors' words for the same
NOT_ATTENUATION = frozenset(
    {"MAT_SPECIFIC", "MAT_FRACTIONAL", "MAT_VALUE_BASED", "EFF_ATOMIC_NUM", "ELECTRON_DENSITY"}
    | {"MAXIMUM", "MINIMUM", "SUBTRACTION", "STD_DEVIATION", "DIVISION", "MULTIPLICATION", "QUANTITY"}
    | {"LOCALIZER", "PROJECTION IMAGE", "PERFUSION", "VRT", "SSD", "CURVED", "SCREEN SAVE"}
)
HOUNSFIELD = ("", "HU", "US")  # Rescale Type, PS3.3 C.11.1.1.2; US is "unspecified"
ALWAYS_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
SHARP_KERNEL = re.compile(r"LUNG|BONE|EDGE|[BHIU][A-Z]?[6-9]\d|FC[58]\d")  # as the vendors name them


def judge_acquisition(volume: Volume, scope: Scope) -> Iterator[Remark]:
    """What to remark. Raises UnusableSeries if the series is derived, not in HU, too lossy, or if its slices leave gaps."""
    uid, header = volume.series_instance_uid, volume.sources[0]
    yield from _judge_kind(volume, uid)
    yield from _judge_compression(volume, scope, uid)
    yield from _judge_slices(header, volume.spacing_mm[0], scope, uid)
    if agent := str(header.get("ContrastBolusAgent") or ""):
        yield Remark(Caution.CONTRAST_AGENT, f"contrast agent was given ({agent[:64]})")


def has_sharp_kernel(header: Dataset) -> bool:
    """Whether the kernel bears a name that vendors give to sharp ones."""
    return any(SHARP_KERNEL.match(name.upper()) for name in _texts(header, "ConvolutionKernel"))


def _judge_kind(volume: Volume, uid: str) -> Iterator[Remark]:
    kinds = {value.upper() for header in volume.sources for value in _texts(header, "ImageType")}
    if found := kinds & NOT_ATTENUATION:
        why = f"image type {', '.join(sorted(found))}, wanted slices as they were reconstructed; send the original series"
        raise UnusableSeries(Refusal.DERIVED_IMAGE, uid, why)
    if any(header.get("BurnedInAnnotation") == "YES" for header in volume.sources):
        why = (
            "text is burned into its pixels (Burned In Annotation YES), wanted slices as they were reconstructed; send the original series"
        )
        raise UnusableSeries(Refusal.DERIVED_IMAGE, uid, why)
    units = {str(header.get("RescaleType") or "") for header in volume.sources} - set(HOUNSFIELD)
    if units:
        why = f"pixel values in {', '.join(sorted(units))} (Rescale Type), wanted HU; send the series of CT numbers"
        raise UnusableSeries(Refusal.VALUES_NOT_HU, uid, why)
    if "DERIVED" in kinds:
        yield Remark(Caution.DERIVED, f"the images are derived ({', '.join(sorted(kinds - {'DERIVED', 'PRIMARY'})) or 'DERIVED'})")


def _judge_compression(volume: Volume, scope: Scope, uid: str) -> Iterator[Remark]:
    lossy = [header for header in volume.sources if _is_lossy(header)]
    ratio = max(
        (float(value) for header in lossy for value in _texts(header, "LossyImageCompressionRatio") if _is_number(value)), default=None
    )
    if ratio is not None and ratio > scope.lossy_ratio:
        why = f"lossy compression {ratio:.1f} to 1, limit {scope.lossy_ratio:g} to 1; send the series without lossy compression"
        raise UnusableSeries(Refusal.TOO_LOSSY, uid, why)
    if lossy:
        yield Remark(Caution.LOSSY, f"lossy compression, {'of unknown ratio' if ratio is None else f'{ratio:.1f} to 1'}")


def _judge_slices(header: Dataset, spacing_mm: float, scope: Scope, uid: str) -> Iterator[Remark]:
    thickness_mm = float(header.get("SliceThickness") or spacing_mm)
    gap_mm = spacing_mm - thickness_mm
    if gap_mm > scope.slice_gap_mm + _ROUNDING_MM:
        found = f"slices of {thickness_mm:.3g} mm every {spacing_mm:.3g} mm leave {gap_mm:.3g} mm between them unseen"
        raise UnusableSeries(Refusal.SLICE_GAP, uid, f"{found}, limit {scope.slice_gap_mm:g} mm; send a reconstruction without gaps")
    if gap_mm > _ROUNDING_MM:
        yield Remark(Caution.SLICE_GAP, f"{gap_mm:.2g} mm between slices is unseen")
    if max(thickness_mm, spacing_mm) > scope.remark_slice_mm:
        yield Remark(Caution.THICK_SLICES, f"slices of {thickness_mm:.3g} mm every {spacing_mm:.3g} mm: small findings may be missed")


_ROUNDING_MM = 0.11  # thickness and positions are written with a decimal


def _is_lossy(header: Dataset) -> bool:
    """Once lossy, always lossy, PS3.3 C.7.6.1.1.5."""
    syntax = header.file_meta.get("TransferSyntaxUID") if hasattr(header, "file_meta") else None
    return header.get("LossyImageCompression") == "01" or syntax in ALWAYS_LOSSY


def _texts(header: Dataset, keyword: str) -> list[str]:
    value = header.get(keyword)
    return [str(item).strip() for item in (value if isinstance(value, MultiValue) else [value]) if item not in (None, "")]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", text) is not None
