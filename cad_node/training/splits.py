"""Which split a patient belongs to, the same for every recipe: what one model trained on, no other model is tested on."""

import csv
import functools
import hashlib
from pathlib import Path

from cad_node.training.samples import Split

SPLIT_FILES = Path(__file__).parent / "splits"  # patient,split; lidc_idri.csv: 873 patients, shuffled with seed 20; 0003 and 0314 test
SHARES = ((0.70, Split.TRAIN), (0.85, Split.VALIDATION), (1.0, Split.TEST))  # of patients that no file names, cumulative


def split_of(patient: str) -> Split:
    """As the split files say; a patient that none names goes where a hash of the name points, on every machine the same."""
    return _named().get(patient) or _hashed(patient)


@functools.cache
def _named() -> dict[str, Split]:
    splits = {}
    for file in sorted(SPLIT_FILES.glob("*.csv")):
        with file.open(encoding="utf-8", newline="") as stream:
            splits.update({row["patient"]: Split(row["split"]) for row in csv.DictReader(stream)})
    return splits


def _hashed(patient: str) -> Split:
    place = int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8]) / 2**64
    return next(split for share, split in SHARES if place < share)
