"""The one place where tests make studies."""

import copy
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def ct_study(
    slices: int = 4,
    spacing_mm: float = 1.25,
    pixel_spacing_mm: float = 0.75,
    voxels: NDArray[np.int16] | None = None,
) -> list[Dataset]:
    """An axial chest CT of `slices` images, each a complete file dataset; voxels are HU (slice, row, column), else air with a box."""
    if voxels is None:
        voxels = np.full((slices, 64, 64), -1000, np.int16)
        voxels[:, 16:48, 16:48] = 40
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    datasets = [_slice(pixels, z, spacing_mm, pixel_spacing_mm) for z, pixels in enumerate(voxels)]
    for ds in datasets:
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
    return datasets


def _slice(pixels: NDArray[np.int16], z: int, spacing_mm: float, pixel_spacing_mm: float) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = generate_uid()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.StudyDate, ds.StudyTime, ds.StudyID = "20260102", "101112", "1"
    ds.SeriesDate, ds.SeriesTime, ds.ContentDate, ds.ContentTime = "20260102", "101112", "20260102", "101112"
    ds.AccessionNumber, ds.ReferringPhysicianName = "A1", ""
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Test^Case", "TEST-1", "19600101", "O"
    ds.Modality, ds.Manufacturer, ds.BodyPartExamined, ds.PatientPosition = "CT", "cad_node tests", "CHEST", "HFS"
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = 2, 1, z + 1
    ds.KVP, ds.ConvolutionKernel, ds.PositionReferenceIndicator = "120", "B", ""
    rows, columns = pixels.shape
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [-columns * pixel_spacing_mm / 2, -rows * pixel_spacing_mm / 2, z * spacing_mm]
    ds.PixelSpacing, ds.SliceThickness = [pixel_spacing_mm, pixel_spacing_mm], spacing_mm
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = rows, columns, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -1024, 1, "HU"
    ds.PixelData = (pixels + 1024).astype("<i2").tobytes()
    return ds


def altered(ds: Dataset, **values: object) -> Dataset:
    """A deep copy with attributes replaced; a value of None deletes."""
    changed = copy.deepcopy(ds)
    for keyword, value in values.items():
        if value is None:
            delattr(changed, keyword)
        else:
            setattr(changed, keyword, value)
    return changed


def save_study(datasets: list[Dataset], folder: Path) -> list[Path]:
    """Write each dataset as folder/<n>.dcm."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}.dcm" for number in range(1, len(datasets) + 1)]
    for ds, path in zip(datasets, paths, strict=True):
        ds.save_as(path, enforce_file_format=True)
    return paths
