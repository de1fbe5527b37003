"""A series of LIDC-IDRI as it is downloaded: DICOM images drawn here, and an XML in the readers' form."""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

SERIES = "1.2.826.0.1.3680043.8.498.1"
CHARACTERISTICS = {
    "subtlety": 5,
    "internalStructure": 1,
    "calcification": 6,
    "sphericity": 4,
    "margin": 4,
    "lobulation": 1,
    "spiculation": 2,
    "texture": 5,
    "malignancy": 4,
}
Contour = tuple[str, Sequence[tuple[int, int]], bool]  # SOP Instance UID, (column, row), inclusion


def sop_uid(number: int) -> str:
    return f"{SERIES}.{number}"


def write_images(folder: Path, voxels: np.ndarray, series: str = SERIES, spacing_mm=(2.0, 0.5)) -> None:
    """One file a slice, stored highest first, of voxels (slice, row, column) in HU; slice 0 is the lowest."""
    folder.mkdir(parents=True)
    for number, image in enumerate(voxels):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID = CTImageStorage, f"{series}.{number}", series
        ds.PatientID, ds.Manufacturer, ds.Modality = "LIDC-IDRI-9999", "Test", "CT"
        ds.SliceThickness, ds.PixelSpacing = spacing_mm[0], [spacing_mm[1]] * 2
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, -100 + spacing_mm[0] * number], [1, 0, 0, 0, 1, 0]
        ds.Rows, ds.Columns = image.shape
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 1
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.PixelData = (image + 1024).astype("<i2").tobytes()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.save_as(folder / f"1-{len(voxels) - number:03d}.dcm", enforce_file_format=True)


def reading_xml(sessions: Sequence[Sequence[str]], series: str = SERIES) -> str:
    """sessions: of each reader, the elements he made."""
    bodies = "".join(
        f"<readingSession><annotationVersion>3.12</annotationVersion>{''.join(session)}</readingSession>" for session in sessions
    )
    header = f"<ResponseHeader><Version>1.7</Version><SeriesInstanceUid>{escape(series)}</SeriesInstanceUid></ResponseHeader>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<LidcReadMessage uid="1" xmlns="http://www.nih.gov">{header}{bodies}</LidcReadMessage>'


def nodule_xml(contours: Sequence[Contour], **characteristics: int) -> str:
    """A nodule of 3 mm or more."""
    values = "".join(f"<{name}>{value}</{name}>" for name, value in {**CHARACTERISTICS, **characteristics}.items())
    return f"<unblindedReadNodule><noduleID>1</noduleID><characteristics>{values}</characteristics>{_rois(contours)}</unblindedReadNodule>"


def small_nodule_xml(uid: str, at: tuple[int, int]) -> str:
    return f"<unblindedReadNodule><noduleID>2</noduleID>{_rois([(uid, [at], True)])}</unblindedReadNodule>"


def non_nodule_xml(uid: str, at: tuple[int, int]) -> str:
    locus = f"<locus><xCoord>{at[0]}</xCoord><yCoord>{at[1]}</yCoord></locus>"
    where = f"<imageZposition>-90.0</imageZposition><imageSOP_UID>{uid}</imageSOP_UID>"
    return f"<nonNodule><nonNoduleID>3</nonNoduleID>{where}{locus}</nonNodule>"


def square(uid: str, left: int, top: int, size: int, *, inclusion: bool = True) -> Contour:
    """The line around a square of size × size pixels, each pixel of the line named, as the readers' software writes it."""
    low, high = -1, size
    path = [(x, low) for x in range(low, high)] + [(high, y) for y in range(low, high)]
    path += [(x, high) for x in range(high, low, -1)] + [(low, y) for y in range(high, low - 1, -1)]
    return uid, [(left + x, top + y) for x, y in path], inclusion


def _rois(contours: Sequence[Contour]) -> str:
    return "".join(
        f"<roi><imageZposition>-90.0 </imageZposition><imageSOP_UID>{uid}</imageSOP_UID><inclusion>{str(inclusion).upper()}</inclusion>"
        + "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)
        + "</roi>"
        for uid, points, inclusion in contours
    )
