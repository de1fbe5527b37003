"""Valid data sets of any shape, and their bytes in each family of transfer syntaxes."""

import zlib
from typing import Any

from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from tests.receive.front_door import encoded

SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, JPEG2000Lossless)

_UIDS = st.lists(st.integers(0, 99_999), min_size=1, max_size=9).map(lambda parts: "1.2." + ".".join(map(str, parts)))
_CODES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", min_size=1, max_size=16)
_DECIMALS = st.integers(-99_999, 99_999).map(lambda number: f"{number / 100:.2f}")
_BYTES = st.binary(max_size=40).map(lambda value: value + bytes(len(value) % 2))
_VALUES = {
    "ImageType": st.lists(_CODES, min_size=2, max_size=5),
    "BodyPartExamined": _CODES,
    "ImagePositionPatient": st.lists(_DECIMALS, min_size=3, max_size=3),
    "ImageOrientationPatient": st.lists(_DECIMALS, min_size=6, max_size=6),
    "PixelSpacing": st.lists(_DECIMALS, min_size=2, max_size=2),
    "SliceThickness": _DECIMALS,
    "SpacingBetweenSlices": _DECIMALS,
    "Rows": st.integers(0, 65_535),
    "Columns": st.integers(0, 65_535),
    "NumberOfFrames": st.integers(0, 99_999),
    "ConvolutionKernel": st.lists(_CODES, min_size=2, max_size=3) | _CODES,
    "ViewPosition": _CODES,
    "InstanceNumber": st.integers(-9_999, 9_999),
    "Modality": _CODES,
    "StudyDescription": st.text("abc XYZ", max_size=20),
    "PatientComments": st.text("abc XYZ", max_size=200),
}


@st.composite
def valid_datasets(draw: Any) -> Dataset:
    """With an identity; every other element may be there, sequences of both kinds of length among them."""
    ds = Dataset()
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = draw(_UIDS), draw(_UIDS), draw(_UIDS)
    for keyword, values in _VALUES.items():
        if draw(st.booleans()):
            setattr(ds, keyword, draw(values))
    if draw(st.booleans()):
        _add_sequence(draw, ds, "ContributingEquipmentSequence", [_equipment(draw) for _ in range(draw(st.integers(0, 2)))])
    if draw(st.booleans()):
        _add_sequence(draw, ds, "ReferencedStudySequence", [draw(items()) for _ in range(draw(st.integers(0, 3)))])
    if draw(st.booleans()):
        block = ds.private_block(0x0019, "CAD_NODE TESTS", create=True)
        block.add_new(0x10, draw(st.sampled_from(["UN", "OB"])), draw(_BYTES))
    return ds


@st.composite
def items(draw: Any, depth: int = 3) -> Dataset:
    """An item with elements that the index wants, but not from here, and further items in it."""
    item = Dataset()
    item.ReferencedSOPInstanceUID, item.Rows, item.SliceThickness = draw(_UIDS), draw(st.integers(0, 65_535)), draw(_DECIMALS)
    if depth and draw(st.booleans()):
        _add_sequence(draw, item, "ReferencedSeriesSequence", [draw(items(depth - 1)) for _ in range(draw(st.integers(0, 2)))])
    return item


def encoded_as(ds: Dataset, transfer_syntax_uid: str, pixel_bytes: int = 64) -> bytes:
    """The data set's bytes with Pixel Data of that syntax added."""
    ds.PixelData = bytes(pixel_bytes)
    ds["PixelData"].VR = "OW"
    if transfer_syntax_uid == JPEG2000Lossless:
        ds.PixelData = encapsulate([bytes(pixel_bytes)] * 2)
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    whole = encoded(ds, transfer_syntax_uid == ImplicitVRLittleEndian, transfer_syntax_uid != ExplicitVRBigEndian)
    if transfer_syntax_uid != DeflatedExplicitVRLittleEndian:
        return whole
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(whole) + deflater.flush()


def _equipment(draw: Any) -> Dataset:
    purpose, equipment = Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = draw(st.sampled_from(["109102", "109101"])), draw(st.sampled_from(["DCM", "99X"]))
    equipment.Manufacturer = draw(_CODES)
    _add_sequence(draw, equipment, "PurposeOfReferenceCodeSequence", [purpose] * draw(st.integers(0, 2)))
    return equipment


def _add_sequence(draw: Any, ds: Dataset, keyword: str, contents: list[Dataset]) -> None:
    for item in contents:
        item.is_undefined_length_sequence_item = draw(st.booleans())
    setattr(ds, keyword, Sequence(contents))
    ds[keyword].is_undefined_length = draw(st.booleans())
