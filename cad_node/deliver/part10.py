"""A result file as the transports see it: which object it holds, or why it can't be sent."""

from dataclasses import dataclass
from pathlib import Path

from pynetdicom.dsutils import split_dataset

from cad_node.deliver.transport import Outcome


@dataclass(frozen=True, slots=True)
class Part10File:
    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset_offset: int  # where the File Meta Information ends
    size_bytes: int


def look(path: Path) -> Part10File | Outcome:
    """Read its File Meta Information."""
    try:
        meta, offset = split_dataset(path)
        sop_class, instance, syntax = (
            str(uid) for uid in (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID)
        )
        if not all(uid.isascii() and 0 < len(uid) <= 64 for uid in (sop_class, instance, syntax)):
            return Outcome(False, False, f"{path.name}: a UID in its File Meta Information is no UID")
        return Part10File(path, sop_class, instance, syntax, offset, path.stat().st_size)
    except OSError as exc:
        return unreadable(path, exc)
    except Exception:  # noqa: BLE001 - a broken file can raise anything; it is an Outcome
        return Outcome(False, False, f"{path.name}: not a DICOM file with File Meta Information")


def unreadable(path: Path, exc: OSError) -> Outcome:
    """A file that is gone won't come back; one that can't be read now may be readable later."""
    return Outcome(False, not isinstance(exc, FileNotFoundError), f"{path.name} can't be read: {exc.strerror}")
