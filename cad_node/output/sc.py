"""Key pictures with everything burned in, as a Multi-frame True Color Secondary Capture, PS3.3 A.8.5: what every viewer shows.

A summary page first, then a page per finding. Neither the patient's name nor an ID is in the pixels: nobody could take it out or
correct it there, and viewers show it from the header, which is the one place where it is kept right.
"""

from collections.abc import Sequence

from highdicom.sr import CodedConcept
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.tag import Tag
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage

from cad_node.findings import Findings
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run, derive_uid
from cad_node.output.equipment import REVIEW_REMARK, series_description
from cad_node.output.hand_built import begin
from cad_node.output.headers import reference_headers
from cad_node.output.laterality import state_laterality
from cad_node.output.pictures.key_images import Scene, letters
from cad_node.output.pictures.key_page import key_page
from cad_node.output.pictures.page import MOST_SHOWN, PAGE_PX
from cad_node.output.pictures.summary_page import summary_page
from cad_node.output.pictures.windowing import window_for
from cad_node.output.stamp import stamp

SERIES_NUMBER = 9108  # of every Secondary Capture


def build_sc(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:
    """A summary page and a page for each finding; where there is none, a page that says so."""
    headers = reference_headers(volume, run)
    shown = findings.findings[:MOST_SHOWN]
    scene = Scene(volume, findings, window_for(volume, run.manifest.output.site.code))
    pages = [summary_page(scene, headers[0], run), *(key_page(scene, number, run) for number in range(1, len(shown) + 1))]
    ds = _lay_out(headers[0], run)
    _fill(ds, pages)
    ds.PatientOrientation = [letters(volume.affine[:3, 2]), letters(volume.affine[:3, 1])]  # of the slices, PS3.3 C.7.6.1.1.1
    _put_sources(ds, [headers[index] for index in dict.fromkeys(finding.long_axis.slice_index for finding in shown)] or headers[:1])
    _put_loss(ds, headers[0])
    stamp(ds, headers[0], run)
    return [ds]


def sc_instance_uid(run: Run) -> str:
    """SOP Instance UID of the run's Secondary Capture, for those that refer to it."""
    return derive_uid(run, "sc", "instance")


def sc_series_uid(run: Run) -> str:
    return derive_uid(run, "sc", "series")


def _lay_out(header: Dataset, run: Run) -> Dataset:
    """All but pixels and what is said of them."""
    ds = begin(
        header,
        MultiFrameTrueColorSecondaryCaptureImageStorage,
        sc_instance_uid(run),
        run,
        series_instance_uid=sc_series_uid(run),
        series_number=SERIES_NUMBER,
        series_description=series_description(run, "key images"),
        instance_number=1,
        modality="OT",
    )
    ds.ConversionType = "WSD"  # workstation, PS3.3 C.8.6.1
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.ImageComments = REVIEW_REMARK
    ds.BurnedInAnnotation = "YES"  # the date of the images is in the pixels: a de-identifier has to look at them
    ds.RecognizableVisualFeatures = "NO"
    if header.get("BodyPartExamined"):
        ds.BodyPartExamined = header.BodyPartExamined
    state_laterality(ds)
    return ds


def _fill(ds: Dataset, pages: Sequence[Image.Image]) -> None:
    """PS3.3 C.7.6.3, C.7.6.6, C.8.6.3 and C.8.6.4"""
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows = ds.Columns = PAGE_PX
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.NumberOfFrames = len(pages)
    if len(pages) > 1:
        ds.FrameIncrementPointer = Tag("PageNumberVector")
        ds.PageNumberVector = list(range(1, len(pages) + 1))
    ds.PixelData = b"".join(page.tobytes() for page in pages)


def _put_sources(ds: Dataset, headers: Sequence[Dataset]) -> None:
    """PS3.3 C.12.4: the images that the pages show."""
    ds.DerivationDescription = "Slices with findings marked, and a summary"
    ds.SourceImageSequence = []
    for header in headers:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)]
        ds.SourceImageSequence.append(item)


def _put_loss(ds: Dataset, header: Dataset) -> None:
    """Images made of ones that lost something have lost it too, PS3.3 C.7.6.1.1.5."""
    ds.LossyImageCompression = header.get("LossyImageCompression") or "00"
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if ds.LossyImageCompression == "01" and header.get(keyword):
            setattr(ds, keyword, header[keyword].value)
