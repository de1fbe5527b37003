"""Where an object is filed: its UIDs in a template."""

import re
from pathlib import Path

from pydicom import dcmread

from cad_node.deliver.part10 import unreadable
from cad_node.deliver.transport import Outcome
from cad_node.settings.destinations import LAYOUT_UIDS

_UID = re.compile(r"[0-9][0-9.]{0,63}")  # PS3.5 9.1, and nothing that means something else in a path
_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def filed_as(layout: str, path: Path) -> str | Outcome:
    """The template with the UIDs of the object in the file; an Outcome where it has none that may stand there."""
    try:
        ds = dcmread(path, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
        uids = [str(ds.get(keyword, "")) for keyword in _KEYWORDS]
    except OSError as exc:
        return unreadable(path, exc)
    except Exception:  # noqa: BLE001 - a broken file can raise anything; it is an Outcome
        return Outcome(False, False, f"{path.name}: not a DICOM file that can be read")
    if not all(_UID.fullmatch(uid) for uid in uids):
        return Outcome(False, False, f"{path.name}: its study, series or instance has no UID that can name a file")
    return layout.format(**dict(zip(LAYOUT_UIDS, uids, strict=True)))
