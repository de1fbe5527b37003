"""Where the frames of a multi-frame image lie among the source's slices, by their own plane positions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset

from cad_node.imaging.volume import Volume

OFF_BY = 0.05  # of a pixel or a slice's distance; more is a shift


@dataclass(frozen=True, slots=True)
class Slices:
    """The source's slices, in the volume's order.

    positions: (slice, 3) LPS mm of each slice's first pixel; row_step, column_step: LPS mm from one row, or column, to the next.
    """

    positions: NDArray[np.float64]
    row_step: NDArray[np.float64]
    column_step: NDArray[np.float64]
    rows: int
    columns: int
    index_of: Mapping[str, int]  # by SOP Instance UID
    normal: NDArray[np.float64]
    finest_mm: float  # distance of neighbouring voxels


def slices_of(volume: Volume) -> Slices:
    """As the source's own headers say, slice by slice: a path of its own beside the volume's affine."""
    first = volume.sources[0]
    row_mm, column_mm = (float(value) for value in first.PixelSpacing)
    orientation = np.array(first.ImageOrientationPatient, np.float64)
    positions = np.array([source.ImagePositionPatient for source in volume.sources], np.float64)
    normal = np.cross(orientation[:3], orientation[3:])
    apart_mm = np.abs(np.diff(positions @ normal))
    return Slices(
        positions,
        orientation[3:] * row_mm,
        orientation[:3] * column_mm,
        int(first.Rows),
        int(first.Columns),
        {str(source.SOPInstanceUID): index for index, source in enumerate(volume.sources)},
        normal,
        float(min([row_mm, column_mm, *apart_mm])),
    )


def slice_indices(ds: Dataset, slices: Slices) -> list[int]:
    """For each frame the slice whose position is nearest to the frame's own. Raises AttributeError if a frame has no position."""
    shared = ds.SharedFunctionalGroupsSequence[0]
    at = np.array([_position(shared, groups) for groups in ds.PerFrameFunctionalGroupsSequence]) @ slices.normal
    return [int(nearest) for nearest in np.abs(at[:, np.newaxis] - slices.positions @ slices.normal).argmin(axis=1)]


def misplaced(ds: Dataset, slices: Slices, indices: Sequence[int]) -> Iterator[str]:
    """A sentence for each way in which the frames aren't on the source's grid; indices: of slice_indices()."""
    if (ds.Rows, ds.Columns) != (slices.rows, slices.columns):
        yield f"frames have {ds.Rows} x {ds.Columns} pixels, the source's slices {slices.rows} x {slices.columns}"
    if int(ds.NumberOfFrames) != len(indices):
        yield f"NumberOfFrames is {ds.NumberOfFrames}, and {len(indices)} frames are described"
    shared = ds.SharedFunctionalGroupsSequence[0]
    for number, (groups, index) in enumerate(zip(ds.PerFrameFunctionalGroupsSequence, indices, strict=True), 1):
        fault = _misoriented(shared, groups, slices) or _off_its_slice(shared, groups, slices, index)
        if fault:
            yield f"frame {number} {fault}"
            return


def functional_group(shared: Dataset, groups: Dataset, keyword: str) -> Dataset | None:
    """One frame's macro, which may be shared by all, PS3.3 C.7.6.16."""
    found = groups.get(keyword) or shared.get(keyword)
    return found[0] if found else None


def stored_bytes(ds: FileDataset, keyword: str) -> NDArray[np.uint8]:
    """An element's value where it lies: in the file, if reading left it there."""
    element = ds.get_item(keyword, keep_deferred=True)
    if isinstance(element, RawDataElement) and element.value is None and element.length:
        return np.memmap(str(ds.filename), np.uint8, "r", element.value_tell, (element.length,))
    return np.frombuffer(ds[keyword].value, np.uint8)


def frame_bits(stored: NDArray[np.uint8], shape: tuple[int, int], number: int) -> NDArray[np.bool_]:
    """(row, column) of one frame, from 0, of pixels of one bit."""
    count = shape[0] * shape[1]
    first_byte, first_bit = divmod(number * count, 8)
    packed = stored[first_byte : first_byte - (-(first_bit + count) // 8)]
    bits = np.unpackbits(packed, bitorder="little")[first_bit : first_bit + count]  # PS3.5 8.1.1
    return bits.reshape(shape).view(np.bool_)


def frame_values(stored: NDArray[np.uint8], shape: tuple[int, int], number: int, dtype: str) -> NDArray[Any]:
    """(row, column) of one frame, from 0, of pixels of whole bytes."""
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    return np.ascontiguousarray(stored[number * size : (number + 1) * size]).view(dtype).reshape(shape)


def _misoriented(shared: Dataset, groups: Dataset, slices: Slices) -> str:
    measures = functional_group(shared, groups, "PixelMeasuresSequence")
    orientation = functional_group(shared, groups, "PlaneOrientationSequence")
    if measures is None or orientation is None:
        return "has no orientation or no pixel spacing"
    row_mm, column_mm = (float(value) for value in measures.PixelSpacing)
    direction = np.array(orientation.ImageOrientationPatient, np.float64)
    for step, expected, count in (
        (direction[3:] * row_mm, slices.row_step, slices.rows),
        (direction[:3] * column_mm, slices.column_step, slices.columns),
    ):
        if np.linalg.norm(step - expected) * count > OFF_BY * np.linalg.norm(expected):  # at the far edge
            return "isn't oriented and spaced as the source's slices"
    return ""


def _off_its_slice(shared: Dataset, groups: Dataset, slices: Slices, index: int) -> str:
    off_mm = float(np.linalg.norm(_position(shared, groups) - slices.positions[index]))
    if off_mm > OFF_BY * slices.finest_mm:
        return f"lies {off_mm:.2f} mm off the nearest slice of the source"
    named = _named_source(groups)
    if named and slices.index_of.get(named, index) != index:
        return f"lies at slice {index}, but names the image of slice {slices.index_of[named]} as its source"
    return ""


def _position(shared: Dataset, groups: Dataset) -> NDArray[np.float64]:
    plane = functional_group(shared, groups, "PlanePositionSequence")
    if plane is None:
        raise AttributeError("a frame has no PlanePositionSequence")
    return np.array(plane.ImagePositionPatient, np.float64)


def _named_source(groups: Dataset) -> str:
    """The one image that a frame was derived from; "" if it says none, or several."""
    sources = [source for item in groups.get("DerivationImageSequence") or () for source in item.get("SourceImageSequence") or ()]
    return str(sources[0].ReferencedSOPInstanceUID) if len(sources) == 1 else ""
