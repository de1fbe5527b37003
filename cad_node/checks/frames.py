"""Where the frames of a multi-frame image lie among the source's slices, by their own plane positions."""

from collections.abc import Iterator
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
    index_of: dict[str, int]  # by SOP Instance UID

    @property
    def normal(self) -> NDArray[np.float64]:
        across = np.cross(self.column_step, self.row_step)
        return across / np.linalg.norm(across)

    @property
    def finest_mm(self) -> float:
        """The smallest distance of neighbouring voxels."""
        along = np.abs(np.diff(self.positions @ self.normal))
        return float(min([np.linalg.norm(self.row_step), np.linalg.norm(self.column_step), *along]))


def slices_of(volume: Volume) -> Slices:
    """As the source's own headers say, slice by slice: a path of its own beside the volume's affine."""
    first = volume.sources[0]
    row_mm, column_mm = (float(value) for value in first.PixelSpacing)
    orientation = np.array(first.ImageOrientationPatient, np.float64)
    return Slices(
        np.array([source.ImagePositionPatient for source in volume.sources], np.float64),
        orientation[3:] * row_mm,
        orientation[:3] * column_mm,
        int(first.Rows),
        int(first.Columns),
        {str(source.SOPInstanceUID): index for index, source in enumerate(volume.sources)},
    )


def misplaced(ds: Dataset, slices: Slices) -> Iterator[str]:
    """A sentence for each way in which the frames aren't on the source's grid."""
    if (ds.Rows, ds.Columns) != (slices.rows, slices.columns):
        yield f"frames have {ds.Rows} x {ds.Columns} pixels, the source's slices {slices.rows} x {slices.columns}"
    if int(ds.NumberOfFrames) != len(ds.PerFrameFunctionalGroupsSequence):
        yield f"NumberOfFrames is {ds.NumberOfFrames}, and {len(ds.PerFrameFunctionalGroupsSequence)} frames are described"
    for number, groups in enumerate(ds.PerFrameFunctionalGroupsSequence, 1):
        fault = _misplacement(ds, groups, slices)
        if fault:
            yield f"frame {number} {fault}"
            return


def slice_index(ds: Dataset, groups: Dataset, slices: Slices) -> int:
    """The slice whose position is nearest to a frame's."""
    return int(np.argmin(np.abs((slices.positions - _position(ds, groups)) @ slices.normal)))


def functional_group(ds: Dataset, groups: Dataset, keyword: str) -> Dataset | None:
    """One frame's macro, which may be shared by all, PS3.3 C.7.6.16."""
    found = groups.get(keyword) or ds.SharedFunctionalGroupsSequence[0].get(keyword)
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


def _misplacement(ds: Dataset, groups: Dataset, slices: Slices) -> str:
    measures = functional_group(ds, groups, "PixelMeasuresSequence")
    orientation = functional_group(ds, groups, "PlaneOrientationSequence")
    if measures is None or orientation is None or functional_group(ds, groups, "PlanePositionSequence") is None:
        return "has no position, orientation or pixel spacing"
    row_mm, column_mm = (float(value) for value in measures.PixelSpacing)
    direction = np.array(orientation.ImageOrientationPatient, np.float64)
    for step, expected, count in (
        (direction[3:] * row_mm, slices.row_step, slices.rows),
        (direction[:3] * column_mm, slices.column_step, slices.columns),
    ):
        if np.linalg.norm(step - expected) * count > OFF_BY * np.linalg.norm(expected):  # at the far edge
            return "isn't oriented and spaced as the source's slices"
    index = slice_index(ds, groups, slices)
    off = _position(ds, groups) - slices.positions[index]
    if np.linalg.norm(off) > OFF_BY * slices.finest_mm:
        return f"lies {np.linalg.norm(off):.2f} mm off the nearest slice of the source"
    named = _named_source(groups)
    if named and slices.index_of.get(named, index) != index:
        return f"lies at slice {index}, but names the image of slice {slices.index_of[named]} as its source"
    return ""


def _position(ds: Dataset, groups: Dataset) -> NDArray[np.float64]:
    plane = functional_group(ds, groups, "PlanePositionSequence")
    assert plane is not None
    return np.array(plane.ImagePositionPatient, np.float64)


def _named_source(groups: Dataset) -> str:
    """The one image that a frame was derived from; "" if it says none, or several."""
    sources = [source for item in groups.get("DerivationImageSequence") or () for source in item.get("SourceImageSequence") or ()]
    return str(sources[0].ReferencedSOPInstanceUID) if len(sources) == 1 else ""
