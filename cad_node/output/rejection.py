"""A rejection note for what an earlier run made of the study, IHE IOCM (RAD TF-3 6.4): archives and viewers then hide it.

It is rejected for quality reasons, by which a site may still choose to look at it: the earlier results were right for the
images that there were. Patient safety reasons would say that nobody may see them again, as those of the wrong patient.
"""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from cad_node.findings import Findings
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run
from cad_node.output.codes import SUPERSEDED
from cad_node.output.equipment import model_name
from cad_node.output.headers import reference_headers
from cad_node.output.key_objects import Selection, select_objects
from cad_node.output.references import SOURCE, reference, superseded

SERIES_NUMBER = 9111


def build_rejection(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:  # noqa: ARG001 - as every builder
    """The note that rejects the objects whose place this run takes; nothing if it takes nobody's.

    run: its `supersedes` are what the note's destination has, or is being sent; dcm4chee keeps no note that names an object it hasn't.
    """
    header = reference_headers(volume, run)[0]
    objects = superseded(run, header.StudyInstanceUID)
    if not objects:
        return []
    selection = Selection(
        codes.DCM.RejectedForQualityReasons,
        f"Superseded by a later analysis of the study by {model_name(run)} {run.manifest.version}: see its results instead.",
        [(ds, reference(ds, SOURCE)) for ds in objects],
        because=SUPERSEDED,
    )
    return [select_objects(selection, header, run, "rejection", SERIES_NUMBER)]
