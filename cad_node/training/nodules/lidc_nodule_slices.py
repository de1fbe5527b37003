"""The set lidc_nodule_slices: 2,628 nodules of LIDC-IDRI (CC BY 3.0) as PNG, grey scaled slice by slice, with up to four readers' masks.

nodules.csv has a row for each nodule; img/KEY.png and mask/KEY.png, or slices.tar.xz with both, hold its slices one below the other.
"""

import csv
import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cad_node.training.nodules.annotated import RATINGS, AnnotatedNodule
from cad_node.training.samples import DataError

TABLE = "nodules.csv"
ARCHIVE = "slices.tar.xz"
SIZE_PX = 64
AIR_HU, TISSUE_HU = -990.0, 40.0  # grey 0, and the grey that the table names as soft tissue's
TRUE_OUTLINE = 0.95  # least overlap of a reader's mask with the published contours
AIRLESS = 0.45  # of the tissue's grey: where nearly all of a slice is brighter, grey 0 was padding outside the field of view, not air

Row = Mapping[str, str]
Files = Callable[[str], bytes]  # path within the set -> content; KeyError or OSError where there is none


def read(folder: Path) -> tuple[list[AnnotatedNodule], str]:
    """The nodules whose HU and readers can be told, in the table's order, and the SHA-256 of the table and of all images read.

    Left out are nodules near padding (their grey can't be turned back to HU), those with more contours than four readers draw,
    and readers whose mask isn't what they drew. Raises DataError naming the file.
    """
    files = _open_files(folder)
    content = _read_file(lambda name: (folder / name).read_bytes(), folder, TABLE)
    digest = hashlib.sha256(content)
    nodules = []
    for row in _parse_table(folder, content):
        if row["has_padding"] != "0" or not _readers(row) or not all(row["tissue_gray_per_slice"].split(" ")):
            continue
        image, mask = (_read_file(files, folder, f"{kind}/{row['file']}.png") for kind in ("img", "mask"))
        digest.update(image + mask)
        nodule = _nodule(row, *(_decode(folder, row["file"], png) for png in (image, mask)))
        nodules += [nodule] if nodule else []
    return nodules, digest.hexdigest()


def _open_files(folder: Path) -> Files:
    if not (folder / ARCHIVE).is_file():
        return lambda name: (folder / name).read_bytes()
    try:
        with tarfile.open(folder / ARCHIVE) as tar:
            members = {member.name.removeprefix("./"): tar.extractfile(member) for member in tar if member.isfile()}
            return {name: stream.read() for name, stream in members.items() if stream}.__getitem__  # some 40 MB
    except (tarfile.TarError, lzma.LZMAError, OSError, EOFError) as exc:
        raise DataError(f"{folder / ARCHIVE}: not readable as a tar archive: {exc}") from exc


def _read_file(files: Files, folder: Path, name: str) -> bytes:
    try:
        return files(name)
    except (KeyError, OSError):
        raise DataError(f"{folder}: {name} is missing; fetch the set again") from None


def _parse_table(folder: Path, content: bytes) -> list[dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8", "replace"))))
    columns = {"file", "patient", "series_uid", "pixel_mm", "slice_spacing_mm", "slice_thickness_mm", "has_padding", *RATINGS} - {
        "malignancy"
    }
    columns |= {"malignancy_per_reader", "mask_iou_vs_pylidc_per_reader", "tissue_gray_per_slice", "n_readers"}
    if not rows or not columns <= rows[0].keys():
        raise DataError(f"{folder / TABLE}: must have rows, and the columns {', '.join(sorted(columns))}")
    return rows


def _readers(row: Row) -> list[int]:
    """Bits of the mask that are what a reader drew; none where there are more contours than bits, and nobody can tell whose is whose."""
    overlaps = [float(value) for value in row["mask_iou_vs_pylidc_per_reader"].split()]
    if len(overlaps) != int(row["n_readers"]):
        return []
    return [bit for bit, overlap in enumerate(overlaps) if overlap >= TRUE_OUTLINE]


def _decode(folder: Path, key: str, png: bytes) -> NDArray[np.uint8]:
    """(slices, 64, 64)"""
    try:
        with Image.open(io.BytesIO(png)) as image:
            return np.asarray(image.convert("L")).reshape(-1, SIZE_PX, SIZE_PX)
    except (UnidentifiedImageError, OSError, ValueError) as exc:
        raise DataError(f"{folder}: {key}.png isn't an image of {SIZE_PX} pixel wide slices: {exc}") from exc


def _nodule(row: Row, grey: NDArray[np.uint8], mask: NDArray[np.uint8]) -> AnnotatedNodule | None:
    """None where grey 0 can't have been air."""
    tissue_grey = np.array([float(value) for value in row["tissue_gray_per_slice"].split()])
    if mask.shape != grey.shape or len(tissue_grey) != len(grey):
        raise DataError(f"nodule {row['file']}: image, mask and {TABLE} have different numbers of slices; fetch the set again")
    if np.any(np.percentile(grey, 10, axis=(1, 2)) > AIRLESS * tissue_grey):
        return None
    readers = _readers(row)
    hu = AIR_HU + (TISSUE_HU - AIR_HU) * grey / tissue_grey[:, None, None]
    names = {name: "malignancy_per_reader" if name == "malignancy" else name for name in RATINGS}
    values = {name: row[column].split() for name, column in names.items()}
    return AnnotatedNodule(
        key=row["file"],
        patient=row["patient"],
        series_instance_uid=row["series_uid"],
        hu=np.rint(hu).astype(np.int16),
        readers=np.stack([(mask >> bit & 1).astype(np.bool_) for bit in readers]),
        pixel_mm=float(row["pixel_mm"]),
        slice_spacing_mm=float(row["slice_spacing_mm"]),
        slice_thickness_mm=float(row["slice_thickness_mm"]),
        ratings={name: tuple(int(values[name][reader]) for reader in readers) for name in RATINGS},
    )
