"""A Key Object Selection document, whatever it selects."""

from collections.abc import Sequence
from dataclasses import dataclass

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    LanguageOfContentItemAndDescendants,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cad_node.output.builder import Run, derive_uid
from cad_node.output.equipment import device_observer, general_equipment, series_description
from cad_node.output.report import ENGLISH
from cad_node.output.stamp import stamp


@dataclass(frozen=True, slots=True)
class Selection:
    """What a document selects, and why.

    objects: what evidence says of each, and the content item that names it.
    because: what a title that rejects asks for, the Document Title Modifier.
    """

    title: Code
    description: str
    objects: Sequence[tuple[Dataset, ContentItem]]
    because: Code | None = None


def select_objects(selection: Selection, header: Dataset, run: Run, name: str, series_number: int) -> Dataset:
    """The document of a selection of objects of one study.

    header: the first of reference_headers(); name: objects.ObjectName.
    """
    ds = KeyObjectSelectionDocument(
        evidence=_evidence(header, [selected for selected, _ in selection.objects]),
        content=_content(selection, run),
        series_instance_uid=derive_uid(run, name, "series"),
        series_number=series_number,
        series_description=series_description(run, selection.title.meaning.lower()),
        sop_instance_uid=derive_uid(run, name, "instance"),
        instance_number=1,
        specific_character_set=None,  # stamp() sets it
        **general_equipment(run),
    )
    ds.copy_patient_and_study_information(header)  # which highdicom does for reports alone
    stamp(ds, header, run)
    return ds


def _evidence(header: Dataset, selected: Sequence[Dataset]) -> list[Dataset]:
    """The selected objects and nothing else: what evidence lists of a rejected study is rejected.

    highdicom takes patient and study from the first of them.
    """
    first = Dataset()
    first.update(header)
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
        del first[keyword]  # the element itself is shared with the header
        setattr(first, keyword, selected[0][keyword].value)
    return [first, *selected[1:]]


def _content(selection: Selection, run: Run) -> KeyObjectSelection:
    """TID 2010, PS3.16, its rows in order."""
    root = ContainerContentItem(selection.title, is_content_continuous=False, template_id="2010")
    root.ContentSequence = ContentSequence()
    if selection.because:
        modifier = codes.DCM.DocumentTitleModifier
        root.ContentSequence.append(CodeContentItem(modifier, selection.because, RelationshipTypeValues.HAS_CONCEPT_MOD))
    root.ContentSequence.extend(LanguageOfContentItemAndDescendants(ENGLISH))
    root.ContentSequence.extend(device_observer(run))
    root.ContentSequence.append(TextContentItem(codes.DCM.KeyObjectDescription, selection.description, RelationshipTypeValues.CONTAINS))
    root.ContentSequence.extend(item for _, item in selection.objects)
    return KeyObjectSelection.from_sequence(ContentSequence([root], is_root=True))
