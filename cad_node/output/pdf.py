"""The report as an Encapsulated PDF, PS3.3 A.45.1: for people without a viewer for measurements, and for paper.

Unlike the key pictures it names the patient: a page that leaves the archive must say whose it is.
"""

from collections.abc import Sequence

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from cad_node.findings import Findings
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run, derive_uid
from cad_node.output.codes import reading
from cad_node.output.equipment import series_description
from cad_node.output.hand_built import begin
from cad_node.output.headers import reference_headers
from cad_node.output.pictures.key_images import Scene
from cad_node.output.pictures.windowing import window_for
from cad_node.output.report_page import report_page
from cad_node.output.stamp import stamp

SERIES_NUMBER = 9113  # of every PDF


def build_pdf(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:
    """One page, also where nothing was found."""
    headers = reference_headers(volume, run)
    site = run.manifest.output.site.code
    ds = begin(
        headers[0],
        EncapsulatedPDFStorage,
        pdf_instance_uid(run),
        run,
        series_instance_uid=pdf_series_uid(run),
        series_number=SERIES_NUMBER,
        series_description=series_description(run, "PDF report"),
        instance_number=1,
        modality="DOC",
    )
    ds.ConversionType = "WSD"  # workstation, PS3.3 C.8.6.1
    ds.BurnedInAnnotation = "YES"
    ds.RecognizableVisualFeatures = "NO"
    ds.VerificationFlag = "UNVERIFIED"
    ds.AcquisitionDateTime = None
    _, title = reading(str(headers[0].get("Modality", "")), site)
    ds.ConceptNameCodeSequence = [CodedConcept.from_code(title)]
    ds.DocumentTitle = title.meaning
    ds.SourceInstanceSequence = [_reference(header) for header in headers]
    _put_document(ds, report_page(Scene(volume, findings, window_for(volume, site)), headers[0], run))
    stamp(ds, headers[0], run)
    return [ds]


def pdf_instance_uid(run: Run) -> str:
    """SOP Instance UID of the run's PDF, for those that refer to it."""
    return derive_uid(run, "pdf", "instance")


def pdf_series_uid(run: Run) -> str:
    return derive_uid(run, "pdf", "series")


def _put_document(ds: Dataset, document: bytes) -> None:
    """An even number of bytes; how many of them are the document's is said beside them, PS3.3 C.24.2."""
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocumentLength = len(document)
    ds.EncapsulatedDocument = document + bytes(len(document) % 2)


def _reference(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return item
