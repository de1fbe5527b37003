"""The Identifier of a query as it may stand in the log: what it matches patients by is told by name, not by value."""

from pydicom.datadict import keyword_for_tag
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
    """The Identifier with every other value left out, encoded in TRANSFER_SYNTAX_UID; and the keys whose values were left out.

    It comes off the wire: a value that can't be read is left out too.
    """
    encoded, withheld = b"", []
    for tag in sorted(identifier.keys()):
        keyword = keyword_for_tag(tag)
        if not keyword or tag.element == 0:
            continue
        shown = _encoded(identifier, keyword) if keyword in _SHOWN else None
        if shown is None and identifier.get_item(tag).value:  # as it was received, not decoded
            withheld.append(keyword)
        encoded += _encoded_empty(keyword) if shown is None else shown
    return encoded, withheld


def _encoded(identifier: Dataset, keyword: str) -> bytes | None:
    one = Dataset()
    try:
        one.add(identifier[keyword])
        return _written(one)
    except Exception:  # noqa: BLE001 - whatever pydicom makes of a value that isn't one
        return None


def _encoded_empty(keyword: str) -> bytes:
    one = Dataset()
    setattr(one, keyword, None)
    return _written(one)


def _written(ds: Dataset) -> bytes:
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, ds)
    return file.getvalue()
