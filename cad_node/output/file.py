"""An object as the bytes of a DICOM file, PS3.10 7."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from cad_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


def encode(ds: Dataset) -> bytes:
    """Preamble, File Meta Information of our own and the dataset in Explicit VR Little Endian.

    Raises ValueError if the object lacks its SOP Class or Instance UID.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    ds.file_meta = meta
    buffer = BytesIO()
    with _read_in_pieces(ds):
        ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@contextmanager
def _read_in_pieces(ds: Dataset) -> Iterator[None]:
    """Have pydicom copy pixels a piece at a time: a value of bytes it copies as a whole, which for a long series is half a GB more."""
    held = {keyword: ds[keyword].value for keyword in ("PixelData", "FloatPixelData") if isinstance(ds.get(keyword), bytes)}
    for keyword, value in held.items():
        ds[keyword].value = BytesIO(value)
    try:
        yield
    finally:
        for keyword, value in held.items():
            ds[keyword].value = value
