"""“CAD not performed”: a short Enhanced SR that says why a model didn't take a study. It measures nothing.

Any title but that of a Measurement Report, so that viewers show it as text.
"""

from collections.abc import Sequence

from highdicom.sr import CodeContentItem, ContainerContentItem, EnhancedSR, RelationshipTypeValues, TextContentItem
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cad_node.errors import UnusableSeries
from cad_node.output.builder import Run, derive_uid
from cad_node.output.codes import CAD_SUMMARY, reading
from cad_node.output.equipment import general_equipment, series_description
from cad_node.output.headers import study_header
from cad_node.output.report import begin_report
from cad_node.output.stamp import stamp
from cad_node.study import Series

SERIES_NUMBER = 9103
REASON = Code("REFUSAL", "99CADNODE", "Reason for CAD not performed")


def build_refusal(source: Dataset, judged: Sequence[Series], refused: UnusableSeries, run: Run) -> Dataset:
    """The report of one refused job.

    source: header of any image of the study; judged: the series that were looked at, all their images become evidence.
    """
    header = study_header(source)
    ds = EnhancedSR(
        evidence=[header, *_others(header, judged)],
        content=_root(header, refused, run),
        series_instance_uid=derive_uid(run, "refusal", "series"),
        series_number=SERIES_NUMBER,
        series_description=series_description(run, "not performed"),
        sop_instance_uid=derive_uid(run, "refusal", "instance"),
        instance_number=1,
        is_complete=True,
        is_final=False,  # and not verified: nobody has reviewed it
        specific_character_set=None,  # stamp() sets it
        **general_equipment(run),
    )
    stamp(ds, header, run)
    return ds


def _others(header: Dataset, judged: Sequence[Series]) -> list[Dataset]:
    """What evidence says of each judged image but that of `header`."""
    others = []
    for series in judged:
        for instance in series.instances:
            if instance.sop_instance_uid != header.SOPInstanceUID:
                ds = Dataset()
                ds.StudyInstanceUID, ds.SeriesInstanceUID = header.StudyInstanceUID, series.series_instance_uid
                ds.SOPClassUID, ds.SOPInstanceUID = instance.sop_class_uid, instance.sop_instance_uid
                others.append(ds)
    return others


def _root(header: Dataset, refused: UnusableSeries, run: Run) -> ContainerContentItem:
    _, title = reading(str(header.get("Modality", "")), run.manifest.output.site.code)
    root = begin_report(title, header, run, template_id=None)
    contains = RelationshipTypeValues.CONTAINS
    root.ContentSequence.append(CodeContentItem(CAD_SUMMARY, codes.DCM.NoAlgorithmsSucceededWithoutFindings, contains))
    root.ContentSequence.append(CodeContentItem(codes.DCM.SummaryOfDetections, codes.DCM.NotAttempted, contains))
    root.ContentSequence.append(CodeContentItem(REASON, _reason(refused), contains))
    root.ContentSequence.append(TextContentItem(codes.DCM.Comment, f"CAD not performed: {refused.sentence}", contains))
    return root


def _reason(refused: UnusableSeries) -> Code:
    """The refusal in our own scheme; one over 16 characters goes into Long Code Value, PS3.3 8.1."""
    return Code(refused.code.replace("-", "_").upper(), "99CADNODE", refused.code.replace("-", " ").capitalize())
