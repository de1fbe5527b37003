"""dciodvfy, dicom3tools' validator of IODs, where it is installed: a second opinion by another hand."""

import re
import shutil
import subprocess
from collections.abc import Container, Iterator
from pathlib import Path

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ParametricMapStorage

from cad_node.checks.encoding import is_handed_on
from cad_node.checks.iod import LABEL_MAP_SEGMENTATION
from cad_node.log import get_logger

log = get_logger()

TIMEOUT_S = 60
PROGRAM = "dciodvfy"

_UNKNOWN_TO_IT = frozenset({LABEL_MAP_SEGMENTATION})  # takes it for a binary one and finds its attributes wrong
_GAPS = {ParametricMapStorage: ("QUANTITY",)}  # it doesn't know the concept that PS3.3 C.7.6.16.2.11 wants
_SUMMARIES = ("Dicom dataset contains invalid data values",)  # follows the errors that it sums up


def validator() -> str | None:
    """Where the program lies; None if it isn't installed."""
    return shutil.which(PROGRAM)


def validated(path: Path, ds: Dataset, source: Dataset, foreign_uids: Container[str], program: str) -> Iterator[str]:
    """What it calls an error, but for its own gaps and for what is handed on, as in encoding.malformed_values()."""
    if ds.SOPClassUID in _UNKNOWN_TO_IT:
        return
    try:
        said = subprocess.run([program, path], capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:  # no opinion: a busy machine's, not the object's fault
        log.warning("validator.too_slow", program=PROGRAM, sop_instance_uid=str(ds.SOPInstanceUID), seconds=TIMEOUT_S)
        return
    gaps = (*_SUMMARIES, *_GAPS.get(ds.SOPClassUID, ()))
    for line in said.stderr.decode("utf-8", "replace").splitlines():
        if line.startswith("Error") and not any(gap in line for gap in gaps) and not _is_the_sources(line, ds, source, foreign_uids):
            yield f"{PROGRAM}: {_without_values(line)}"


def _is_the_sources(line: str, ds: Dataset, source: Dataset, foreign_uids: Container[str]) -> bool:
    """It names an element by its tag or by its keyword, and quotes a value."""
    if (uid := re.search(r"= <([0-9.]+)>", line)) and uid[1] in foreign_uids:
        return True
    if tag := re.search(r"\(0x([0-9a-f]{4}),0x([0-9a-f]{4})\)", line):
        return is_handed_on(Tag(int(tag[1], 16), int(tag[2], 16)), ds, source)
    keyword = re.search(r"Element=<(\w+)>", line)
    return keyword is not None and tag_for_keyword(keyword[1]) is not None and is_handed_on(Tag(keyword[1]), ds, source)


def _without_values(line: str) -> str:
    """Its message without the values that it quotes, which can be a patient's."""
    return re.sub(r"(term|value) <[^>]*>", r"\1", line.removeprefix("Error - ").split(" = <")[0].split(" [")[0])
