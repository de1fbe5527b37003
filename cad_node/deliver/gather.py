"""Which files of a folder can be sent: any folder, nested and mixed, with junk in it."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage


@dataclass(frozen=True, slots=True)
class Sendable:
    path: Path
    study_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """files: what can be sent; skipped: the rest, each with why."""

    files: tuple[Sendable, ...]
    skipped: tuple[tuple[Path, str], ...]


def gather(folder: Path) -> Gathered:
    """Look at every file below `folder`, or at the one file it is."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
    looked = [(path, _look(path)) for path in paths]
    files = tuple(found for _, found in looked if isinstance(found, Sendable))
    return Gathered(files, tuple((path, found) for path, found in looked if isinstance(found, str)))


def _look(path: Path) -> Sendable | str:
    """The file as something to send, or why it isn't."""
    try:
        with warnings.catch_warnings(action="ignore"):  # they quote the values they complain of
            return _read(path) if path.stat().st_size else "an empty file"
    except InvalidDicomError:
        return "not a DICOM file"
    except OSError as exc:
        return f"can't be read: {exc.strerror or type(exc).__name__}"
    except Exception as exc:  # noqa: BLE001 - a broken file can raise anything; it is reported, not sent
        return f"broken DICOM file: {type(exc).__name__}"


def _read(path: Path) -> Sendable | str:
    ds = dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "SOPInstanceUID"])
    if ds.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return "a DICOMDIR"
    if not ds.file_meta.get("TransferSyntaxUID") or not ds.get("SOPInstanceUID"):
        return "no transfer syntax or SOP Instance UID"
    return Sendable(path, str(ds.get("StudyInstanceUID", "")), str(ds.SOPInstanceUID))
