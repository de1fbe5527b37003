"""MetaImage volumes (.mhd with .raw), uncompressed 16-bit: as much of the format as LUNA16 uses.

https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cad_node.training.samples import DataError

FIELDS = ("DimSize", "ElementSpacing", "Offset", "TransformMatrix", "ElementType", "ElementDataFile")


@dataclass(frozen=True, slots=True)
class MetaImage:
    """voxels: (slice, row, column) int16, mapped from the file. affine: (4, 4), (column, row, slice, 1) index to LPS mm."""

    voxels: NDArray[np.int16]
    affine: NDArray[np.float64]

    def to_index(self, point_lps_mm: NDArray[np.float64]) -> NDArray[np.int64]:
        """(slice, row, column) of the voxel that holds the point, which may lie outside."""
        column, row, slice_ = np.rint(np.linalg.solve(self.affine, [*point_lps_mm, 1.0])[:3]).astype(np.int64)
        return np.array([slice_, row, column])


def read_meta_image(file: Path) -> MetaImage:
    """Raises DataError naming the file."""
    try:
        lines = [line.split("=", 1) for line in file.read_text(encoding="ascii").splitlines() if "=" in line]
        fields = {name.strip(): value.strip() for name, value in lines}
        _check(file, fields)
        size = [int(value) for value in fields["DimSize"].split()]
        voxels = np.memmap(file.with_name(fields["ElementDataFile"]), "<i2", "r", shape=(size[2], size[1], size[0]))
        return MetaImage(voxels, _affine(fields))
    except (OSError, ValueError, UnicodeDecodeError) as exc:
        raise DataError(f"{file}: not readable as a MetaImage: {exc}; download it again") from exc


def _check(file: Path, fields: dict[str, str]) -> None:
    if missing := [name for name in FIELDS if name not in fields]:
        raise DataError(f"{file}: has no {', '.join(missing)}")
    if fields["ElementType"] != "MET_SHORT" or fields.get("CompressedData", "False") != "False":
        raise DataError(f"{file}: {fields['ElementType']} or compressed voxels; wanted uncompressed MET_SHORT, as in LUNA16")


def _affine(fields: dict[str, str]) -> NDArray[np.float64]:
    """A row of TransformMatrix is the direction of one axis."""
    axes, spacing, offset = (np.array(fields[name].split(), dtype=np.float64) for name in ("TransformMatrix", "ElementSpacing", "Offset"))
    affine = np.eye(4)
    affine[:3, :3] = axes.reshape(3, 3).T * spacing
    affine[:3, 3] = offset
    return affine
