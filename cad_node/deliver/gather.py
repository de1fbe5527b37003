"""Which files of a folder can be sent: any folder, nested and mixed, with junk in it."""

from collections.abc import Callable
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


def gather(folder: Path, on_progress: Callable[[int, int], None] = lambda _done, _total: None) -> Gathered:
    """Look at every file below `folder` (or at the one file it is). on_progress gets (files looked at, files in all)."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
    files, skipped = [], []
    for number, path in enumerate(paths, 1):
        looked = _look(path)
        if isinstance(looked, str):
            skipped.append((path, looked))
        else:
            files.append(looked)
        on_progress(number, len(paths))
    return Gathered(tuple(files), tuple(skipped))


def _look(path: Path) -> Sendable | str:
    """The file as something to send, or why it isn't."""
    try:
        ds = dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "SOPInstanceUID"])
    except InvalidDicomError:
        return "not a DICOM file"
    except OSError as exc:
        return f"can't be read: {exc.strerror}"
    except Exception as exc:  # noqa: BLE001 - a broken file can raise anything; it is reported, not sent
        return f"broken DICOM file: {type(exc).__name__}"
    if ds.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return "a DICOMDIR"
    if not ds.file_meta.get("TransferSyntaxUID") or not ds.get("SOPInstanceUID"):
        return "no transfer syntax or SOP Instance UID"
    return Sendable(path, str(ds.get("StudyInstanceUID", "")), str(ds.SOPInstanceUID))
