"""One object as the rules of IHE AIR see it, among the others that were given with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from cad_node.checks.content_tree import Item, code_of, is_report, read_content
from cad_node.checks.iod import LABEL_MAP_SEGMENTATION

PROCESSING_EQUIPMENT = codes.DCM.ProcessingEquipment  # (109102, DCM)


class Kind(StrEnum):
    """What an object is to AIR."""

    REPORT = "report"
    SEGMENTATION = "segmentation"
    PARAMETRIC_MAP = "parametric map"
    KEY_OBJECTS = "key objects"
    OTHER_RESULT = "other result"
    IMAGE = "image"


@dataclass(frozen=True)  # without slots: what is read out of it once is kept
class Subject:
    file: str
    ds: Dataset

    @property
    def name(self) -> str:
        """Of the file, with its folder: names alone repeat in every folder."""
        return "/".join(self.file.split("/")[-2:])

    @cached_property
    def kind(self) -> Kind:
        sop_class_uid = str(self.ds.get("SOPClassUID", ""))
        if sop_class_uid in _KINDS:
            return _KINDS[sop_class_uid]
        if sop_class_uid in _OTHER_RESULTS:
            return Kind.OTHER_RESULT
        if is_report(self.ds):
            return Kind.REPORT
        return Kind.OTHER_RESULT if self.ds.get("Modality") in _MODALITIES_OF_RESULTS else Kind.IMAGE

    @cached_property
    def root(self) -> Item | None:
        """Of its content, if it is a report or key objects."""
        return read_content(self.ds) if is_report(self.ds) else None

    @cached_property
    def equipment(self) -> Sequence[Dataset]:
        """What processed it, by its own word."""
        wanted = PROCESSING_EQUIPMENT.value, PROCESSING_EQUIPMENT.scheme_designator
        items = self.ds.get("ContributingEquipmentSequence") or ()
        return [item for item in items if code_of(item, "PurposeOfReferenceCodeSequence") == wanted]

    @cached_property
    def algorithms(self) -> frozenset[tuple[str, str]]:
        """(name, version) of every algorithm that its content names."""
        if self.root:
            return frozenset(_named_in_reports(self.root))
        return frozenset(
            (str(item.get("AlgorithmName", "")), str(item.get("AlgorithmVersion", "")))
            for segment in self.segments
            for item in segment.get("SegmentationAlgorithmIdentificationSequence") or ()
        )

    @property
    def segments(self) -> Sequence[Dataset]:
        """Of a Segmentation, without a label map's background."""
        return [segment for segment in self.ds.get("SegmentSequence") or () if segment.get("SegmentNumber") != 0]

    @property
    def sop_instance_uid(self) -> str:
        return str(self.ds.get("SOPInstanceUID", ""))

    @property
    def series_instance_uid(self) -> str:
        return str(self.ds.get("SeriesInstanceUID", ""))

    @property
    def study_instance_uid(self) -> str:
        return str(self.ds.get("StudyInstanceUID", ""))


def _named_in_reports(root: Item) -> list[tuple[str, str]]:
    """Name and version stand side by side, PS3.16 TID 4019."""
    found = []
    for item in root.walk():
        names, versions = item.of(codes.DCM.AlgorithmName), item.of(codes.DCM.AlgorithmVersion)
        for name, version in zip(names, versions or [None] * len(names), strict=False):
            found.append((str(name.ds.get("TextValue", "")), str(version.ds.get("TextValue", "")) if version else ""))
    return found


_KINDS: Mapping[str, Kind] = {
    uid.SegmentationStorage: Kind.SEGMENTATION,
    LABEL_MAP_SEGMENTATION: Kind.SEGMENTATION,
    uid.ParametricMapStorage: Kind.PARAMETRIC_MAP,
    uid.KeyObjectSelectionDocumentStorage: Kind.KEY_OBJECTS,
}
_MODALITIES_OF_RESULTS = frozenset({"SR", "SEG", "PR", "KO", "RTSTRUCT", "RWV", "REG", "FID", "DOC", "M3D", "OT"})
_OTHER_RESULTS = frozenset(
    {
        uid.ChestCADSRStorage,
        uid.MammographyCADSRStorage,
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
        uid.GrayscaleSoftcopyPresentationStateStorage,
        uid.RTStructureSetStorage,
        uid.EncapsulatedPDFStorage,
        uid.EncapsulatedSTLStorage,
    }
)
