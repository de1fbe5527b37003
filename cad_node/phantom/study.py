"""The phantom as a study: CT Image Storage datasets of a fictitious patient, and the truth about its nodules."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from cad_node.phantom.anatomy import Anatomy
from cad_node.phantom.grid import Array, Grid, draw_nodule, draw_tube
from cad_node.phantom.nodules import NODULES, PhantomNodule
from cad_node.phantom.scanner import scan_slice
from cad_node.phantom.tissues import AIR, BLOOD, CORTEX, LUNG, MARROW, MUSCLE, draw_plane
from cad_node.phantom.tubes import airways, great_vessels, inner, lung_vessels, ribs, shoulder_bones, wall

_UIDS = uuid.UUID("6f1c3b52-6d0b-4c0e-9a35-5f6b1f0e2f11")  # name space of the phantom's UIDs
_RESCALE_INTERCEPT = -1024


@dataclass(frozen=True, slots=True)
class PhantomStudy:
    datasets: tuple[Dataset, ...]  # one series, from the feet up
    truth: tuple[PhantomNodule, ...]


def phantom_study(
    slices: int = 140,
    spacing_mm: float = 2.0,
    pixel_spacing_mm: float = 0.7,
    size_px: int = 512,
    *,
    nodules: Sequence[PhantomNodule] = NODULES,
    seed: int = 1,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> PhantomStudy:
    """A chest CT on the grid wanted; the same arguments make the same bytes and UIDs.

    The chest lies around the origin of LPS: 340 mm wide, lungs from z = -120 to 125 mm.
    on_progress: called with (done, total) steps.
    """
    grid = Grid(slices, size_px, spacing_mm, pixel_spacing_mm)
    rng = np.random.default_rng(seed)
    hu = _draw_anatomy(grid, nodules, rng, lambda done: on_progress(done, 2 * slices))
    name = f"{slices}/{spacing_mm}/{pixel_spacing_mm}/{size_px}/{seed}/{tuple(nodules)}"
    datasets = []
    for index in range(slices):
        datasets.append(_dataset(scan_slice(hu, index, grid, rng), index, grid, name))
        on_progress(slices + index + 1, 2 * slices)
    return PhantomStudy(tuple(datasets), tuple(nodules))


def _draw_anatomy(grid: Grid, nodules: Sequence[PhantomNodule], rng: np.random.Generator, on_slice: Callable[[int], None]) -> Array:
    anatomy = Anatomy(grid, rng)
    hu = np.empty((grid.slices, grid.size_px, grid.size_px), np.float32)
    for index, z_mm in enumerate(grid.z_mm):
        hu[index] = draw_plane(anatomy, grid, float(z_mm))
        on_slice(index + 1)
    lumens = airways(anatomy, rng)
    for tube in [*great_vessels(), *lung_vessels(anatomy, rng)]:
        draw_tube(hu, grid, tube, BLOOD, LUNG)
    for lumen in lumens:
        draw_tube(hu, grid, wall(lumen), 0.0, LUNG)
    for lumen in lumens:
        draw_tube(hu, grid, lumen, AIR, 0.0)
    bones = [*ribs(), *shoulder_bones()]
    for bone in bones:
        draw_tube(hu, grid, bone, CORTEX, MUSCLE)
    for bone in bones:
        draw_tube(hu, grid, inner(bone), MARROW, CORTEX)
    for nodule in nodules:
        draw_nodule(hu, grid, nodule, LUNG)
    return hu


def _dataset(hu: Array, index: int, grid: Grid, name: str) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = _uid(name, "instance", index)
    _describe_study(ds, name)
    _describe_plane(ds, index, grid)
    stored = np.clip(np.rint(hu) - _RESCALE_INTERCEPT, 0, 4095).astype("<u2")
    ds.Rows, ds.Columns = stored.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = _RESCALE_INTERCEPT, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = [-600, 40], [1500, 400]
    ds.PixelData = stored.tobytes()
    return ds


def _describe_study(ds: Dataset, name: str) -> None:
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom^Chest", "PHANTOM-1", "", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = (_uid(name, kind) for kind in ("study", "series", "frame"))
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20260101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "PHANTOM1", ""
    ds.StudyDescription, ds.SeriesDescription = "Chest CT phantom", "Axial chest, generated"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "CT", "cad_node", "Chest phantom"
    ds.SeriesNumber, ds.AcquisitionNumber = 2, 1
    ds.BodyPartExamined, ds.PatientPosition, ds.PositionReferenceIndicator = "CHEST", "HFS", ""
    ds.KVP, ds.ConvolutionKernel = "120", "STANDARD"


def _describe_plane(ds: Dataset, index: int, grid: Grid) -> None:
    first_pixel = float(grid.x_mm[0])
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, ds.file_meta.MediaStorageSOPInstanceUID
    ds.ImageType, ds.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], index + 1
    ds.ImagePositionPatient = [round(first_pixel, 4), round(first_pixel, 4), round(float(grid.z_mm[index]), 4)]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [grid.pixel_spacing_mm, grid.pixel_spacing_mm], grid.spacing_mm


def _uid(*names: str | int) -> UID:
    return UID(f"2.25.{uuid.uuid5(_UIDS, '/'.join(str(name) for name in names)).int}")
