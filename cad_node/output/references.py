"""Objects that another one names: as evidence, and as content items."""

from collections.abc import Sequence

from highdicom.sr import CompositeContentItem, ImageContentItem, RelationshipTypeValues
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from cad_node.objects import Profile
from cad_node.output.builder import EarlierObject, Run

_IMAGES = frozenset(  # of the SOP classes that a run makes, those with pixels: referred to as images, PS3.3 C.17.3.2.4
    {
        uid.SegmentationStorage,
        uid.UID("1.2.840.10008.5.1.4.1.1.66.7"),  # Label Map Segmentation Storage
        uid.ParametricMapStorage,
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    }
)

SOURCE = Code("260753009", "SCT", "Source")  # for references that need no name, PS3.3 C.17.3


def identity(study_instance_uid: str, series_instance_uid: str, sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """What evidence says of an object."""
    ds = Dataset()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study_instance_uid, series_instance_uid
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class_uid, sop_instance_uid
    return ds


def reference(ds: Dataset, name: Code) -> ImageContentItem | CompositeContentItem:
    """A content item that names one of a run's objects."""
    kind = ImageContentItem if ds.SOPClassUID in _IMAGES else CompositeContentItem
    return kind(name, ds.SOPClassUID, ds.SOPInstanceUID, relationship_type=RelationshipTypeValues.CONTAINS)


def image_reference(image: Dataset) -> ImageContentItem:
    """A content item that names a source image."""
    return ImageContentItem(SOURCE, image.SOPClassUID, image.SOPInstanceUID, relationship_type=RelationshipTypeValues.CONTAINS)


def superseded(run: Run, study_instance_uid: str) -> list[Dataset]:
    """The objects of the run that this one takes the place of."""
    return _identities(run.supersedes, study_instance_uid)


def predecessors(run: Run, name: str, study_instance_uid: str, edition: str | None = None) -> list[Dataset] | None:
    """The documents that this run's document `name` is a new version of: that of its own edition, or where none is, all.

    edition: None: that which follows from the run. Returns None if there is none. PS3.3 C.17.2
    """
    own = Profile(keeps_empty_frames=run.keeps_empty_frames).edition(name) if edition is None else edition
    of_kind = [earlier for earlier in run.supersedes if earlier.name == name]
    alike = [earlier for earlier in of_kind if earlier.edition == own]
    return _identities(alike or of_kind, study_instance_uid) or None


def _identities(objects: Sequence[EarlierObject], study_instance_uid: str) -> list[Dataset]:
    return [identity(study_instance_uid, one.series_instance_uid, one.sop_class_uid, one.sop_instance_uid) for one in objects]
