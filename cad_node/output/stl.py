"""Findings and organs as closed surfaces: Encapsulated STL, PS3.3 A.85.1; for planning and 3D printing."""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedSTLStorage
from trimesh import Trimesh
from trimesh.exchange.stl import export_stl

from cad_node.findings import Findings
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run, derive_uid
from cad_node.output.equipment import REVIEW_REMARK, series_description
from cad_node.output.hand_built import begin
from cad_node.output.headers import reference_headers
from cad_node.output.segment_frames import segment_regions
from cad_node.output.segments import concept, describe_segments
from cad_node.output.stamp import stamp
from cad_node.output.surface import surface

SERIES_NUMBER = 9114  # of every surface

_HEADER = b"cad_node SPACE=LPS UNIT=mm".ljust(80)  # 3D Slicer reads the space there; it mustn't begin with "solid"
_TITLES = {"CT": codes.LN.CT3DCAMModel, "MR": codes.LN.MR3DCAMModel}  # CID 7061
_FRAME = "LPS mm in the source's frame of reference"


def build_stl(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:
    """One instance per segment of the Segmentation, with its number as Instance Number, all of one series; none if there are none."""
    regions = segment_regions(findings)
    if not regions:
        return []
    headers = reference_headers(volume, run)
    return [
        _model(segment, surface(region, volume.affine), headers, headers[region.slices[0]], run)
        for segment, region in zip(describe_segments(findings, run), regions, strict=True)
    ]


def stl_instance_uid(run: Run, segment_number: int) -> str:
    """SOP Instance UID of the surface of a segment, for those that refer to it."""
    return derive_uid(run, "stl", "instance", segment_number)


def stl_series_uid(run: Run) -> str:
    return derive_uid(run, "stl", "series")


def _model(segment: Dataset, mesh: Trimesh, headers: Sequence[Dataset], shown: Sequence[Dataset], run: Run) -> Dataset:
    """shown: headers of the slices that the segment lies on."""
    header = headers[0]
    ds = begin(
        header,
        EncapsulatedSTLStorage,
        stl_instance_uid(run, segment.SegmentNumber),
        run,
        modality="M3D",
        series_instance_uid=stl_series_uid(run),
        series_number=SERIES_NUMBER,
        series_description=series_description(run, "surfaces"),
        instance_number=int(segment.SegmentNumber),
    )
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = header.FrameOfReferenceUID, header.PositionReferenceIndicator
    _encapsulate(ds, segment, mesh, header)
    _describe_model(ds, segment, run)
    references = [_reference(source) for source in shown]
    ds.SourceInstanceSequence = references
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = header.SeriesInstanceUID, references
    ds.ReferencedSeriesSequence = [series]
    stamp(ds, header, run)
    return ds


def _encapsulate(ds: Dataset, segment: Dataset, mesh: Trimesh, header: Dataset) -> None:
    """Encapsulated Document Module, PS3.3 C.24.2."""
    content = _binary_stl(mesh)
    ds.AcquisitionDateTime = header.get("AcquisitionDateTime")
    ds.BurnedInAnnotation = "NO"
    ds.DocumentTitle = segment.SegmentLabel
    title = _TITLES.get(header.Modality)
    ds.ConceptNameCodeSequence = [concept(title)] if title else []
    ds.MIMETypeOfEncapsulatedDocument = "model/stl"
    ds.EncapsulatedDocument = content  # always of an even length: 84 + 50 n bytes
    ds.EncapsulatedDocumentLength = len(content)


def _describe_model(ds: Dataset, segment: Dataset, run: Run) -> None:
    """Manufacturing 3D Model Module, PS3.3 C.35.1."""
    ds.MeasurementUnitsCodeSequence = [concept(codes.UCUM.Millimeter)]
    ds.ModelModification = ds.ModelMirroring = "NO"
    ds.ContentDescription = f"{_FRAME}. {REVIEW_REMARK}"[:64]
    ds.DerivationAlgorithmSequence = segment.SegmentationAlgorithmIdentificationSequence
    ds.ModelGroupUID = derive_uid(run, "stl", "group")  # so that a viewer shows them together
    ds.RecommendedDisplayCIELabValue = segment.RecommendedDisplayCIELabValue


def _binary_stl(mesh: Trimesh) -> bytes:
    return _HEADER + export_stl(mesh)[len(_HEADER) :]


def _reference(source: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    return item
