"""The Identifier of a query as it may stand in the log: what it matches patients by is told by name, not by value."""

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian

TRANSFER_SYNTAX_UID = ExplicitVRLittleEndian

# Keys whose values say nothing of a patient.
_SHOWN = frozenset(
    {
        *("QueryRetrieveLevel", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "SOPClassesInStudy"),
        *("Modality", "ModalitiesInStudy", "StudyDate", "StudyTime", "SpecificCharacterSet", "TimezoneOffsetFromUTC"),
    }
)


def encoded_identifier(identifier: Dataset) -> tuple[bytes, list[str]]:
    """The Identifier with every other value left out, encoded in TRANSFER_SYNTAX_UID; and the keys whose values were left out."""
    shown = Dataset()
    withheld = []
    for element in identifier:
        if element.keyword in _SHOWN:
            shown.add(element)
        elif element.keyword and element.tag.element != 0:
            setattr(shown, element.keyword, None)
            if not element.is_empty:
                withheld.append(element.keyword)
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, shown)
    return file.getvalue(), withheld
