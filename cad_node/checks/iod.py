"""The attributes that an object's SOP class requires, PS3.3."""

from collections.abc import Callable, Iterator, Mapping

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage, ParametricMapStorage, SegmentationStorage

from cad_node.checks.standard import Requirement, is_known, requirements


def missing_attributes(ds: Dataset) -> Iterator[str]:
    """A sentence for each that isn't there or has no value, though its module is mandatory or its condition holds."""
    if not is_known(ds.SOPClassUID):
        yield f"SOP class {ds.SOPClassUID} is unknown to the tables of PS3.3"
    yield from _missing(ds, requirements(ds.SOPClassUID), "")
    for applies, keyword, why in _CONDITIONS:
        if applies(ds) and not _has_value(ds, keyword):
            yield f"{keyword} is missing, required as {why}"


def _missing(ds: Dataset, required: Mapping[str, Requirement], where: str) -> Iterator[str]:
    for keyword, one in required.items():
        if keyword not in ds:
            if one.type != "3":
                yield f"{where}{keyword} is missing, type {one.type}"
            continue
        if one.type == "1" and not _has_value(ds, keyword):
            yield f"{where}{keyword} is empty, type 1"
        if one.items:
            for item in ds[keyword].value:
                yield from _missing(item, one.items, f"{where}{keyword}/")


def _has_value(ds: Dataset, keyword: str) -> bool:
    """Without making values of its bytes, or reading those that are left in the file."""
    if keyword not in ds:
        return False
    element = ds.get_item(keyword, keep_deferred=True)
    return bool(element.length) if isinstance(element, RawDataElement) else not ds[keyword].is_empty


LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"

# Type 1C, where the data set itself shows whether the condition holds.
_CONDITIONS: tuple[tuple[Callable[[Dataset], bool], str, str], ...] = (
    (lambda ds: "Rows" in ds and ds.SOPClassUID != ParametricMapStorage, "PixelData", "it is an image, PS3.3 C.7.6.3"),
    (lambda ds: ds.get("SamplesPerPixel", 1) > 1, "PlanarConfiguration", "pixels have several samples, PS3.3 C.7.6.3"),
    (
        lambda ds: ds.SOPClassUID == MultiFrameTrueColorSecondaryCaptureImageStorage and ds.NumberOfFrames > 1,
        "FrameIncrementPointer",
        "there are several frames, PS3.3 C.8.6.3",
    ),
    (lambda ds: ds.get("LossyImageCompression") == "01", "LossyImageCompressionRatio", "pixels are lossy, PS3.3 C.7.6.1"),
    (lambda ds: ds.get("SegmentationType") == "FRACTIONAL", "SegmentationFractionalType", "segments are fractional, PS3.3 C.8.20.2"),
    (lambda ds: ds.SOPClassUID == ParametricMapStorage, "FloatPixelData", "values are single precision, PS3.3 C.7.6.24"),
    (
        lambda ds: ds.SOPClassUID in (SegmentationStorage, LABEL_MAP_SEGMENTATION, ParametricMapStorage),
        "FrameOfReferenceUID",
        "frames have positions, PS3.3 C.7.4.1",
    ),
    (
        lambda ds: ds.SOPClassUID in (SegmentationStorage, LABEL_MAP_SEGMENTATION, ParametricMapStorage),
        "ReferencedSeriesSequence",
        "it is derived from images, PS3.3 C.12.2",  # without it OHIF doesn't find them
    ),
    (lambda ds: ds.get("VerificationFlag") == "VERIFIED", "VerifyingObserverSequence", "the report is verified, PS3.3 C.17.2"),
)
