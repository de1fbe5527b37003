"""Series -> Volume: read every file, refuse what isn't one regular axial stack, decode to HU."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from cad_node.errors import Refusal, UnusableSeries
from cad_node.imaging.stack import Plane, order_stack, read_plane
from cad_node.imaging.volume import Volume
from cad_node.log import get_logger
from cad_node.manifest import Range
from cad_node.study import Instance, Series

log = get_logger()

_PIXEL_DATA_TAG = {True: b"\xe0\x7f\x10\x00", False: b"\x7f\xe0\x00\x10"}  # (7FE0,0010) in little, in big endian
_NATIVE_HEAD = {ExplicitVRLittleEndian: 12, ImplicitVRLittleEndian: 8}  # bytes of tag, VR and length, PS3.5 7.1.2 and 7.1.3
_FASTEST_PLUGIN = {RLELossless: "pylibjpeg"}  # 0.75 ms a slice, pydicom's own 3.5


def load_volume(series: Series, slice_spacing_mm: Range, pixel_spacing_mm: Range) -> Volume:
    """The series as one array of HU in patient space: rows and columns as stored, slices along increasing position on the normal.

    Raises UnusableSeries, which says what was found, what was wanted and what to do.
    """
    files = [_read_file(instance, series.series_instance_uid) for instance in series.instances]
    planes = [file.plane for file in files]
    stack = order_stack(series.series_instance_uid, planes, slice_spacing_mm, pixel_spacing_mm)
    ordered = [files[index] for index in stack.order]
    voxels = _decode_all(ordered, series.series_instance_uid)
    sources = _one_frame_of_reference([file.header for file in ordered], series.series_instance_uid)
    return Volume(voxels, stack.affine, sources)


def _one_frame_of_reference(headers: list[Dataset], series_uid: str) -> tuple[Dataset, ...]:
    """Some de-identified series carry a Frame of Reference UID per image; the planes have shown that it is one frame."""
    found = {header.FrameOfReferenceUID for header in headers}
    if len(found) > 1:
        log.warning("series.frames_of_reference_differ", series=series_uid, found=len(found), taken=headers[0].FrameOfReferenceUID)
        for header in headers[1:]:
            header.FrameOfReferenceUID = headers[0].FrameOfReferenceUID
    return tuple(headers)


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    header: Dataset  # without pixel data
    plane: Plane
    native: tuple[int, int] | None  # where uncompressed 16-bit pixels begin in the file, and their bytes; None: they go through a codec


def _read_file(instance: Instance, series_uid: str) -> _File:
    """What the file says of its image; every value that is needed later has been converted once when this returns."""
    uid = instance.sop_instance_uid
    try:
        return _understand(instance.path, series_uid)
    except UnusableSeries:
        raise
    except InvalidDicomError as exc:
        why = f"instance {uid} is not a DICOM file; wanted CT images only, send it again"
        raise UnusableSeries(Refusal.FILE_UNREADABLE, series_uid, why) from exc
    # pydicom converts a value when it is first asked for, and raises what it likes over a damaged one
    except Exception as exc:
        why = f"the file of instance {uid} is cut off or damaged ({type(exc).__name__}); send it again"
        raise UnusableSeries(Refusal.FILE_UNREADABLE, series_uid, why) from exc


def _understand(path: Path, series_uid: str) -> _File:
    with path.open("rb") as stream:
        header = dcmread(stream, stop_before_pixels=True)
        at = stream.tell()  # pydicom stops in front of the element
        element = stream.read(12)
    syntax = UID(header.file_meta.TransferSyntaxUID)
    if not _has_pixels(path, syntax, element):
        raise _no_pixels(header, series_uid)
    _check_pixel_attributes(header, series_uid)
    plane = read_plane(header, series_uid)
    head = _NATIVE_HEAD.get(syntax) if header.BitsAllocated == 16 else None
    native = (at + head, int.from_bytes(element[head - 4 : head], "little")) if head else None
    return _File(path, header, plane, native)


def _has_pixels(path: Path, syntax: UID, element: bytes) -> bool:
    if syntax == DeflatedExplicitVRLittleEndian:  # its stream position says nothing
        return "PixelData" in dcmread(path)
    return element.startswith(_PIXEL_DATA_TAG[syntax != ExplicitVRBigEndian])


def _no_pixels(header: Dataset, series_uid: str) -> UnusableSeries:
    what = f"instance {header.get('SOPInstanceUID', 'without UID')} (SOP class {UID(header.get('SOPClassUID', '')).name or 'missing'})"
    why = f"{what} has no Pixel Data; wanted images only, send the series again with its pixels"
    return UnusableSeries(Refusal.PIXELS_MISSING, series_uid, why)


def _check_pixel_attributes(header: Dataset, series_uid: str) -> None:
    """Refuse what can't be read as one plane of HU."""
    uid = header.SOPInstanceUID
    if int(header.get("NumberOfFrames") or 1) > 1:
        why = f"instance {uid} holds {header.NumberOfFrames} frames, wanted one image per instance; send the classic CT images"
        raise UnusableSeries(Refusal.MULTI_FRAME, series_uid, why)
    wanted = ("RescaleSlope", "RescaleIntercept", "BitsAllocated", "BitsStored", "PixelRepresentation")
    missing = [keyword for keyword in wanted if header.get(keyword) is None]
    if missing:
        why = f"instance {uid} has no {', '.join(missing)}, so that its pixels have no HU; send the original CT images"
        raise UnusableSeries(Refusal.PIXELS_UNDECODABLE, series_uid, why)
    bits, allocated, slope, intercept = header.BitsStored, header.BitsAllocated, float(header.RescaleSlope), float(header.RescaleIntercept)
    if not (0 < bits <= allocated and math.isfinite(slope) and math.isfinite(intercept)):
        found = f"{bits} of {allocated} bits stored, rescale slope {slope:g} and intercept {intercept:g}"
        why = f"instance {uid} has {found}, so that its pixels have no HU; send the original CT images"
        raise UnusableSeries(Refusal.PIXELS_UNDECODABLE, series_uid, why)
    if header.get("SamplesPerPixel", 1) != 1:
        why = f"instance {uid} has {header.SamplesPerPixel} samples per pixel, wanted 1; send the original CT images"
        raise UnusableSeries(Refusal.PIXELS_UNDECODABLE, series_uid, why)


def _decode_all(files: list[_File], series_uid: str) -> NDArray[np.int16]:
    voxels = np.empty((len(files), files[0].plane.rows, files[0].plane.columns), np.int16)
    for hu, file in zip(voxels, files, strict=True):
        stored = _read_native(file, *file.native, hu.size, series_uid) if file.native else _decode(file, series_uid)
        _write_hu(stored.reshape(hu.shape), file.header, hu)
    return voxels


def _read_native(file: _File, at: int, length: int, count: int, series_uid: str) -> NDArray[np.integer]:
    dtype = np.dtype("<i2" if file.header.PixelRepresentation else "<u2")
    stored = np.fromfile(file.path, dtype, min(count, length // 2), offset=at)
    if stored.size < count:
        found = f"{stored.size * 2} of {count * 2} bytes of Pixel Data"
        why = f"the file of instance {file.header.SOPInstanceUID} is cut off: {found}; send it again"
        raise UnusableSeries(Refusal.FILE_UNREADABLE, series_uid, why)
    unused = 16 - int(file.header.BitsStored)
    return (stored << unused) >> unused if unused else stored  # the high bits may hold an old overlay, PS3.5 8.1.1


def _decode(file: _File, series_uid: str) -> NDArray[np.integer]:
    syntax = UID(file.header.file_meta.TransferSyntaxUID)
    try:
        source = dcmread(file.path) if syntax == DeflatedExplicitVRLittleEndian else file.path  # pixel_array inflates no file
        return pixel_array(source, raw=True, decoding_plugin=_FASTEST_PLUGIN.get(syntax, ""))
    except (KeyboardInterrupt, SystemExit):
        raise
    # the codecs raise what they like, the one in Rust no Exception; the answer is the same and the cause is chained
    except BaseException as exc:
        where = f"instance {file.header.SOPInstanceUID}, {syntax.name}"
        why = f"its pixels can't be decoded ({where}: {type(exc).__name__}); send it again, or uncompressed"
        raise UnusableSeries(Refusal.PIXELS_UNDECODABLE, series_uid, why) from exc


def _write_hu(stored: NDArray[np.integer], header: Dataset, hu: NDArray[np.int16]) -> None:
    """Modality LUT, PS3.3 C.11.1; clipped to int16."""
    slope, intercept = float(header.RescaleSlope), float(header.RescaleIntercept)
    limits = np.iinfo(np.int16)
    if slope == 1.0 and intercept.is_integer():
        scaled: NDArray[np.generic] = stored.astype(np.int32) + int(intercept)
    else:
        scaled = np.rint(stored.astype(np.float32) * np.float32(slope) + np.float32(intercept))
    np.clip(scaled, limits.min, limits.max, out=hu, casting="unsafe")
