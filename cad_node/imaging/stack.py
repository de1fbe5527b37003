"""The geometry of a series: are its planes one regular axial stack, in which order, and where in the patient?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from cad_node.errors import Refusal, UnusableSeries
from cad_node.manifest import Range

Vector = NDArray[np.float64]  # (3,) LPS

_MAX_TILT_DEG = 10.0  # of the normal against the patient's long axis
_GAP_TOLERANCE = 0.1  # of the median gap
_ROUNDING_MM = 0.11  # some scanners write positions with one decimal
_MAX_SHEAR = 0.01  # sideways per mm along the normal: 0.6 degrees


@dataclass(frozen=True, slots=True)
class Plane:
    """Where one image lies, PS3.3 C.7.6.2."""

    sop_instance_uid: str
    position: tuple[float, float, float]  # of the first pixel's centre, LPS mm
    orientation: tuple[float, ...]  # direction of increasing column index, then of increasing row index
    pixel_spacing_mm: tuple[float, float]  # between rows, between columns
    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Stack:
    order: tuple[int, ...]  # indices of the planes given, along increasing position on the normal
    affine: NDArray[np.float64]  # (4, 4), as in Volume


def read_plane(header: Dataset, series_uid: str) -> Plane:
    """The plane a header describes. Raises UnusableSeries(GEOMETRY_MISSING) naming the attributes."""
    wanted = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2, "Rows": 1, "Columns": 1}
    values = {keyword: _numbers(header, keyword, count) for keyword, count in wanted.items()}
    missing = [keyword for keyword, numbers in values.items() if numbers is None]
    frame = header.get("FrameOfReferenceUID")
    if not (frame and isinstance(frame, str)):  # a backslash makes it a list
        missing.append("FrameOfReferenceUID")
    position, orientation, spacing, rows, columns = (numbers or () for numbers in values.values())
    if orientation and not _orthonormal(orientation):
        missing.append("ImageOrientationPatient")
    if missing:
        why = f"instance {header.SOPInstanceUID} has no valid {', '.join(missing)}; send the original axial images"
        raise UnusableSeries(Refusal.GEOMETRY_MISSING, series_uid, why)
    return Plane(
        str(header.SOPInstanceUID),
        (position[0], position[1], position[2]),
        orientation,
        (spacing[0], spacing[1]),
        int(rows[0]),
        int(columns[0]),
    )


def order_stack(series_uid: str, planes: Sequence[Plane], slice_spacing_mm: Range, pixel_spacing_mm: Range) -> Stack:
    """Order of the planes and the affine of the stack. Raises UnusableSeries if they aren't one regular axial stack within the ranges."""
    if len(planes) < 2:
        raise UnusableSeries(Refusal.TOO_FEW_SLICES, series_uid, f"{len(planes)} image, a volume needs 2 or more; send the whole series")
    _check_one_geometry(planes, series_uid)
    along_row, along_column = np.array(planes[0].orientation).reshape(2, 3)
    normal = np.cross(along_row, along_column)
    _check_axial(normal, series_uid)
    _check_range(Refusal.SPACING_OUT_OF_RANGE, "pixel spacing", planes[0].pixel_spacing_mm, pixel_spacing_mm, series_uid)

    positions = np.array([plane.position for plane in planes])
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    _check_distinct(positions @ normal, [planes[index].sop_instance_uid for index in order], series_uid)
    _check_orthogonal(positions, normal, series_uid)
    _check_gaps(positions @ normal, positions[:, 2], series_uid)

    step = (positions[-1] - positions[0]) / (len(planes) - 1)
    _check_range(Refusal.SPACING_OUT_OF_RANGE, "slice spacing", (float(np.linalg.norm(step)),), slice_spacing_mm, series_uid)
    between_rows, between_columns = planes[0].pixel_spacing_mm
    affine = np.eye(4)
    affine[:3] = np.column_stack((step, along_column * between_rows, along_row * between_columns, positions[0]))
    return Stack(tuple(int(index) for index in order), affine)


def _numbers(header: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    try:
        numbers = np.atleast_1d(np.array(header.get(keyword), dtype=np.float64))
    except (TypeError, ValueError):
        return None
    return tuple(numbers.tolist()) if numbers.shape == (count,) and np.isfinite(numbers).all() else None


def _orthonormal(orientation: tuple[float, ...]) -> bool:
    directions = np.array(orientation).reshape(2, 3)
    return bool(np.allclose(directions @ directions.T, np.eye(2), atol=1e-2))


def _check_one_geometry(planes: Sequence[Plane], series_uid: str) -> None:
    kinds = Counter(_describe_geometry(plane) for plane in planes)
    if len(kinds) > 1:
        found = "; ".join(f"{count} with {kind}" for kind, count in kinds.most_common(4))
        why = f"images of {len(kinds)} geometries: {found}; wanted one, send localizers and reformats as series of their own"
        raise UnusableSeries(Refusal.MIXED_GEOMETRY, series_uid, why)


def _describe_geometry(plane: Plane) -> str:
    orientation = " ".join(f"{cosine + 0.0:.2f}" for cosine in plane.orientation).replace("-0.00", "0.00")
    rows_mm, columns_mm = plane.pixel_spacing_mm
    return f"{plane.rows}×{plane.columns} pixels of {rows_mm:.4g}×{columns_mm:.4g} mm, orientation {orientation}"


def _check_axial(normal: Vector, series_uid: str) -> None:
    tilt_deg = float(np.degrees(np.arccos(min(1.0, abs(float(normal[2]))))))
    if tilt_deg > _MAX_TILT_DEG:
        why = f"the planes are {tilt_deg:.0f}° off axial, limit {_MAX_TILT_DEG:.0f}°; send the axial series"
        raise UnusableSeries(Refusal.WRONG_ORIENTATION, series_uid, why)


def _check_range(code: Refusal, what: str, found_mm: tuple[float, ...], wanted_mm: Range, series_uid: str) -> None:
    if not all(wanted_mm.holds(round(value, 3)) for value in found_mm):
        found = " × ".join(f"{value:.3g}" for value in found_mm)
        why = f"{what} {found} mm, wanted {wanted_mm.min:g} to {wanted_mm.max:g} mm; send a reconstruction within these limits"
        raise UnusableSeries(code, series_uid, why)


def _check_distinct(along_mm: Vector, uids: Sequence[str], series_uid: str) -> None:
    same = np.flatnonzero(np.diff(along_mm) < 1e-3)
    if same.size:
        pair = f"{same.size} times, first instances {uids[same[0]]} and {uids[same[0] + 1]} at {along_mm[same[0]]:.2f} mm"
        why = f"two images share one position ({pair}); wanted one image per position, send each reconstruction as a series of its own"
        raise UnusableSeries(Refusal.DUPLICATE_POSITION, series_uid, why)


def _check_orthogonal(positions: NDArray[np.float64], normal: Vector, series_uid: str) -> None:
    offsets = positions - positions[0]
    along = offsets @ normal
    sideways = np.linalg.norm(offsets - along[:, None] * normal, axis=1)
    if (sideways > _ROUNDING_MM + _MAX_SHEAR * along).any():
        found = f"the images shift {sideways.max():.1f} mm sideways over {along[-1]:.1f} mm"
        why = f"{found} (a tilted gantry or a moved table); wanted a stack along its normal, send an untilted reconstruction"
        raise UnusableSeries(Refusal.NOT_ORTHOGONAL, series_uid, why)


def _check_gaps(along_mm: Vector, z_mm: Vector, series_uid: str) -> None:
    gaps = np.diff(along_mm)
    median = float(np.median(gaps))
    bad = np.flatnonzero(np.abs(gaps - median) > max(_GAP_TOLERANCE * median, _ROUNDING_MM))
    if bad.size:
        places = ", ".join(f"{gaps[i]:.2f} mm between z = {z_mm[i]:.2f} and {z_mm[i + 1]:.2f}" for i in bad[:3])
        missing = int(np.rint(gaps[bad] / median - 1).clip(0).sum())
        count = f"about {missing} slices are missing" if missing else "slices are irregularly spaced"
        more = f" and {bad.size - 3} more places" if bad.size > 3 else ""
        why = f"{count}: {places}{more}, elsewhere {median:.2f} mm; send the missing images"
        raise UnusableSeries(Refusal.SLICES_MISSING, series_uid, why)
