"""Findings and organs as contours on the source's images: an RT Structure Set, PS3.3 A.19."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, RTStructureSetStorage

from cad_node.findings import Findings, Region
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run, derive_uid
from cad_node.output.colours import RGB
from cad_node.output.contours import Points, polygons, simplified
from cad_node.output.equipment import REVIEW_REMARK, series_description
from cad_node.output.hand_built import begin
from cad_node.output.headers import reference_headers
from cad_node.output.segment_frames import segment_regions
from cad_node.output.segments import describe_segments, segment_colours
from cad_node.output.stamp import stamp

SERIES_NUMBER = 9112  # of every structure set

_DETACHED_STUDY = UID("1.2.840.10008.3.1.2.3.1")  # retired; what C.8.8.5.4 still asks for beside the Study Instance UID
_CONTOUR_DATA = Tag("ContourData")
_MOST_BYTES = 65534  # what the length of a DS can say in Explicit VR, PS3.5 7.1.2
_FIRST_TOLERANCE_PX = 0.1


def build_rtstruct(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:
    """One ROI per segment of the Segmentation, with the same number; nothing if there are none."""
    regions = segment_regions(findings)
    if not regions:
        return []
    headers = reference_headers(volume, run)
    segments = describe_segments(findings, run)
    ds = begin(
        headers[0],
        RTStructureSetStorage,
        rtstruct_instance_uid(run),
        run,
        modality="RTSTRUCT",
        series_instance_uid=rtstruct_series_uid(run),
        series_number=SERIES_NUMBER,
        series_description=series_description(run, "contours"),
        instance_number=1,
    )
    ds.OperatorsName = None
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = headers[0].FrameOfReferenceUID, headers[0].PositionReferenceIndicator
    ds.StructureSetLabel, ds.StructureSetName, ds.StructureSetDescription = "FINDINGS", ds.SeriesDescription, REVIEW_REMARK
    ds.ReferencedFrameOfReferenceSequence = [_frame_of_reference(headers)]
    ds.StructureSetROISequence = [_roi(segment, headers[0]) for segment in segments]
    ds.ROIContourSequence = [
        _roi_contours(segment, region, colour, headers)
        for segment, region, colour in zip(segments, regions, segment_colours(findings), strict=True)
    ]
    ds.RTROIObservationsSequence = [
        _observation(segment, is_organ=number > len(findings.findings)) for number, segment in enumerate(segments, 1)
    ]
    ds.ApprovalStatus = "UNAPPROVED"
    stamp(ds, headers[0], run)
    ds.StructureSetDate, ds.StructureSetTime = ds.InstanceCreationDate, ds.InstanceCreationTime
    del ds.ContentDate, ds.ContentTime  # the IOD has none
    return [ds]


def rtstruct_instance_uid(run: Run) -> str:
    """SOP Instance UID of the run's structure set, for those that refer to it."""
    return derive_uid(run, "rtstruct", "instance")


def rtstruct_series_uid(run: Run) -> str:
    return derive_uid(run, "rtstruct", "series")


def _frame_of_reference(headers: Sequence[Dataset]) -> Dataset:
    """The whole source series, C.8.8.5.1."""
    series = Dataset()
    series.SeriesInstanceUID = headers[0].SeriesInstanceUID
    series.ContourImageSequence = [_reference(header.SOPClassUID, header.SOPInstanceUID) for header in headers]
    study = _reference(_DETACHED_STUDY, headers[0].StudyInstanceUID)
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = headers[0].FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def _roi(segment: Dataset, header: Dataset) -> Dataset:
    item = Dataset()
    item.ROINumber, item.ROIName = segment.SegmentNumber, segment.SegmentLabel
    item.ReferencedFrameOfReferenceUID = header.FrameOfReferenceUID
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    item.ROIDerivationAlgorithmIdentificationSequence = segment.SegmentationAlgorithmIdentificationSequence
    return item


def _roi_contours(segment: Dataset, region: Region, colour: RGB, headers: Sequence[Dataset]) -> Dataset:
    item = Dataset()
    item.ReferencedROINumber, item.ROIDisplayColor = segment.SegmentNumber, list(colour)
    item.RecommendedDisplayCIELabValue = segment.RecommendedDisplayCIELabValue
    item.ContourSequence = list(_contours(region, headers))
    for number, contour in enumerate(item.ContourSequence, 1):
        contour.ContourNumber = number
    return item


def _contours(region: Region, headers: Sequence[Dataset]) -> Iterator[Dataset]:
    for slice_index, plane in enumerate(region.mask, region.origin[0]):
        header = headers[slice_index]
        for polygon in polygons(plane):
            data = _contour_data(polygon + region.origin[1:], header)
            item = Dataset()
            item.ContourImageSequence = [_reference(header.SOPClassUID, header.SOPInstanceUID)]
            item.ContourGeometricType = "CLOSED_PLANAR"
            item.NumberOfContourPoints = len(data) // 3
            item[_CONTOUR_DATA] = DataElement(_CONTOUR_DATA, "DS", data, already_converted=True)  # converting takes pydicom seconds
            yield item


def _contour_data(polygon: Points, header: Dataset) -> list[str]:
    """Points x coordinates; fewer points where the element can't hold them all."""
    data, tolerance_px = _as_ds(_lps(polygon, header)), _FIRST_TOLERANCE_PX
    while sum(map(len, data)) + len(data) > _MOST_BYTES:
        data, tolerance_px = _as_ds(_lps(simplified(polygon, tolerance_px), header)), 2 * tolerance_px
    return data


def _lps(polygon: Points, header: Dataset) -> NDArray[np.float64]:
    """(N, 3) mm, PS3.3 C.7.6.2.1.1."""
    row_mm, column_mm = header.PixelSpacing
    along_row, along_column = np.reshape(np.array(header.ImageOrientationPatient, np.float64), (2, 3))
    across, down = np.outer(polygon[:, 1], along_row * float(column_mm)), np.outer(polygon[:, 0], along_column * float(row_mm))
    return np.array(header.ImagePositionPatient, np.float64) + across + down


def _as_ds(lps_mm: NDArray[np.float64]) -> list[str]:
    """To the micrometre: at most 16 characters each, PS3.5 6.2."""
    return [f"{number:.3f}" for number in (lps_mm.round(3) + 0.0).ravel().tolist()]  # + 0.0: no -0.000


def _observation(segment: Dataset, *, is_organ: bool) -> Dataset:
    """What the ROI is, in codes, PS3.3 C.8.8.8."""
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = segment.SegmentNumber
    item.ROIObservationLabel = segment.SegmentLabel[:16]  # an SH
    item.SegmentedPropertyCategoryCodeSequence = segment.SegmentedPropertyCategoryCodeSequence
    item.RTROIIdentificationCodeSequence = segment.SegmentedPropertyTypeCodeSequence
    if "AnatomicRegionSequence" in segment:
        item.AnatomicRegionSequence = segment.AnatomicRegionSequence
    item.RTROIInterpretedType = "ORGAN" if is_organ else ""  # a finding isn't a target volume before somebody says so
    item.ROIInterpreter = ""
    return item
