"""What is wrapped up in a DICOM object: surfaces compared with the masks, pages and pictures looked at from outside."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from cad_node.checks.frames import Slices, stored_bytes
from cad_node.findings import Findings, Region

VOLUME_OFF = 0.03  # a share of the mask's; a surface is smoothed
_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attributes", "<u2")])
_HEADER_BYTES, _COUNT_BYTES = 80, 4


def wrong_surface(ds: FileDataset, slices: Slices, findings: Findings) -> Iterator[str]:
    """A sentence for each way in which a surface isn't that of the finding or organ whose number it has."""
    number = int(ds.InstanceNumber)
    if not 1 <= number <= len(findings.structures):
        yield f"it is the surface of segment {number}, which there isn't"
        return
    structure = findings.structures[number - 1]
    if ds.DocumentTitle != structure.label:
        yield f"it is titled {ds.DocumentTitle}, but segment {number} is {structure.label}"
    content = bytes(stored_bytes(ds, "EncapsulatedDocument"))
    count = int.from_bytes(content[_HEADER_BYTES : _HEADER_BYTES + _COUNT_BYTES], "little")
    if len(content) - _HEADER_BYTES - _COUNT_BYTES - count * _TRIANGLE.itemsize not in (0, 1):
        yield f"its STL says {count} triangles and has another length"
        return
    corners = np.frombuffer(content, _TRIANGLE, count, _HEADER_BYTES + _COUNT_BYTES)["corners"].astype(np.float64)
    yield from _misshapen(corners, structure.region, slices)


def wrong_page(ds: FileDataset, _: Slices, __: Findings) -> Iterator[str]:
    """A sentence if an encapsulated PDF isn't whole."""
    content = bytes(stored_bytes(ds, "EncapsulatedDocument"))
    if not content.startswith(b"%PDF-") or b"%%EOF" not in content[-1024:]:
        yield "its document is no whole PDF"


def wrong_pictures(ds: FileDataset, _: Slices, __: Findings) -> Iterator[str]:
    """A sentence if pixels are missing, or a picture shows nothing."""
    if ds.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    frames, size = int(ds.get("NumberOfFrames", 1)), ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated // 8
    stored = stored_bytes(ds, "PixelData")
    if len(stored) - frames * size not in (0, 1):  # one for an even length
        yield f"it has {len(stored)} bytes of pixels, {frames} frames need {frames * size}"
        return
    for number in range(frames):
        frame = stored[number * size : (number + 1) * size]
        if (frame == frame[0]).all():
            yield f"frame {number + 1} shows nothing"


def _misshapen(corners: NDArray[np.float64], region: Region, slices: Slices) -> Iterator[str]:
    """By the volume that the triangles enclose and its centre, from their tetrahedra about a place within."""
    centre, volume_mm3 = _centre_and_volume(region, slices)
    about = corners - centre
    parts_mm3 = np.einsum("ij,ij->i", about[:, 0], np.cross(about[:, 1], about[:, 2])) / 6
    enclosed_mm3 = float(parts_mm3.sum())
    if abs(enclosed_mm3 / volume_mm3 - 1) > VOLUME_OFF:
        yield f"it encloses {enclosed_mm3:.1f} mm³, its mask {volume_mm3:.1f} mm³"
        return
    off_mm = float(np.linalg.norm((about.sum(axis=1) * parts_mm3[:, np.newaxis]).sum(axis=0) / 4 / enclosed_mm3))
    if off_mm > slices.finest_mm:
        yield f"its centre is {off_mm:.2f} mm off that of its mask"


def _centre_and_volume(region: Region, slices: Slices) -> tuple[NDArray[np.float64], float]:
    """LPS mm, mm³; slice by slice, as each one's header says where it is."""
    counts = region.mask.sum(axis=(1, 2))
    row = region.mask.sum(axis=2) @ np.arange(region.mask.shape[1]) + counts * region.origin[1]
    column = region.mask.sum(axis=1) @ np.arange(region.mask.shape[2]) + counts * region.origin[2]
    positions = slices.positions[region.slices[0]]
    total = counts @ positions + row.sum() * slices.row_step + column.sum() * slices.column_step
    apart_mm = abs((slices.positions[-1] - slices.positions[0]) @ slices.normal) / max(len(slices.positions) - 1, 1)
    voxel_mm3 = float(np.linalg.norm(slices.row_step) * np.linalg.norm(slices.column_step) * apart_mm)
    return total / counts.sum(), float(counts.sum()) * voxel_mm3
