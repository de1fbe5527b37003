"""Reader of the LUNA16 patch set: 50×50 axial JPEG patches around candidates, labels in {train,val,test}datalabels.txt.

Licence of the data: CC BY 4.0 (LUNA16), made from LIDC-IDRI (CC BY 3.0).
An image file that no label file names is left alone: the train folder also holds rotated copies.
"""

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cad_node.training.samples import DataError, Samples, Split

FOLDER = "luna16_patches2d"
ARCHIVE = "luna16_patches_50x50.tar.gz"
SHA256 = {
    Split.TRAIN: "91bb95bb4316f78636977e0ff37d2c23656837d87b1dbbf4496bd2566ee1910f",
    Split.VALIDATION: "84b138108b0910cbe4726c2df96429caa855a5850b0cd4b4940976c9ac923bc6",
    Split.TEST: "3c68acf07f28b1dc6a34218b30d88b5d28a16d3c3df1d50607b498e44bd5cf5e",
}
PATCH_PX = 50
AIR_HU = -1000.0
HU_PER_GREY = 1400 / 255  # the patches show -1000..400 HU as 0..255

Files = Callable[[str], bytes]  # path within the set -> content, KeyError where there is none


def read_luna_patches(source: Path, split: Split, sha256: str = "") -> Samples:
    """Read one split: target "nodule" is 0 or 1; the set names no patients, its split is not by patient.

    source: the archive, a folder that holds it, the folder it was unpacked to, or one that holds any of those as luna16_patches2d.
    sha256: of the label file and its images, in order; empty takes any.
    Raises DataError naming what is missing, unreadable or not the data expected.
    """
    source = source / FOLDER if (source / FOLDER).is_dir() else source
    files = _open_files(source, split)
    label_file = f"{split}datalabels.txt"
    digest = hashlib.sha256()
    patches, labels, names = [], [], []
    content = _read(files, source, label_file)
    digest.update(content)
    for name, label in _parse_labels(source / label_file, content):
        image = _read(files, source, name)
        digest.update(image)
        patches.append(_decode(source / name, image))
        labels.append(label)
        names.append(name)
    if sha256 and digest.hexdigest() != sha256:
        why = f"SHA-256 of the {split} split is {digest.hexdigest()}, expected {sha256}"
        raise DataError(f"{source}: {why}; the set is incomplete or another one, fetch it again")
    targets = {"nodule": np.array(labels, dtype=np.float32)}
    return Samples(np.stack(patches)[:, np.newaxis], targets, (), {"image": np.array(names)}, digest.hexdigest())


def _open_files(source: Path, split: Split) -> Files:
    archive = source / ARCHIVE if (source / ARCHIVE).is_file() else source
    if archive.is_file():
        return _unpack(archive, split).__getitem__
    if not source.is_dir():
        raise DataError(f"{source}: no such file or folder; name {ARCHIVE}, a folder that holds it, or the folder it was unpacked to")
    return lambda name: (source / name).read_bytes()


def _unpack(archive: Path, split: Split) -> dict[str, bytes]:
    """The members of one split, in memory (some 10 MB)."""
    wanted = (f"{split}/", f"{split}datalabels.txt")
    try:
        with tarfile.open(archive) as tar:
            members = [member for member in tar if member.isfile() and member.name.removeprefix("./").startswith(wanted)]
            return {member.name.removeprefix("./"): stream.read() for member in members if (stream := tar.extractfile(member))}
    except (tarfile.TarError, OSError, EOFError) as exc:
        raise DataError(f"{archive}: not readable as a tar archive: {exc}") from exc


def _read(files: Files, source: Path, name: str) -> bytes:
    try:
        return files(name)
    except (KeyError, OSError):
        raise DataError(f"{source}: {name} is missing") from None


def _parse_labels(file: Path, content: bytes) -> list[tuple[str, int]]:
    """Lines `path label`, the path within the set."""
    try:
        rows = [line.split() for line in content.decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as exc:
        raise DataError(f"{file}: not text: {exc}") from exc
    for row in rows:
        if len(row) != 2 or row[1] not in ("0", "1") or ".." in row[0] or row[0].startswith("/"):
            raise DataError(f"{file}: line {' '.join(row)!r} isn't an image path and a label 0 or 1")
    if {row[1] for row in rows} != {"0", "1"}:
        raise DataError(f"{file}: must name images of both labels, 0 and 1")
    return [(name, int(label)) for name, label in rows]


def _decode(file: Path, content: bytes) -> NDArray[np.float32]:
    """(50, 50) HU. A patch that the image's border cut short is filled with air, as patches are when they are cut to be scored."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            grey = np.asarray(image.convert("L"), dtype=np.float32)
    except (UnidentifiedImageError, OSError) as exc:
        raise DataError(f"{file}: not readable as an image: {exc}") from exc
    rows, columns = grey.shape
    if rows > PATCH_PX or columns > PATCH_PX:
        raise DataError(f"{file}: {rows}×{columns} pixels, at most {PATCH_PX}×{PATCH_PX} expected")
    patch = np.full((PATCH_PX, PATCH_PX), AIR_HU, dtype=np.float32)
    top, left = (PATCH_PX - rows) // 2, (PATCH_PX - columns) // 2
    patch[top : top + rows, left : left + columns] = grey * HU_PER_GREY + AIR_HU
    return patch
