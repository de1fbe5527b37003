"""Who is shown what: the ensemble that is shipped, and beside it one ensemble for each fold of its training and validation patients.

The folds' ensembles are trained as the shipped one is. Together they give every patient a logit from members that never saw them,
some hundred instead of those of the validation split: what calibration is fitted on, and measured by.
"""

import hashlib

from cad_node.training.samples import Split
from cad_node.training.splits import split_of

ENSEMBLE = 4  # members 0 to 3 are shipped; those that follow are the folds', four each
FOLDS = 5
MEMBERS = ENSEMBLE * (1 + FOLDS)
PARTS = 2 * FOLDS  # a fold is two of them; of the next one's, one is the fold's validation split


def members_of(fold: int) -> slice:
    """Where in the list of all members this fold's ensemble is."""
    return slice(ENSEMBLE * (1 + fold), ENSEMBLE * (2 + fold))


def split_for(patient: str, member: int) -> Split | None:
    """In which of a member's splits a patient is; a fold's test split is the fold. No fold has patients of the shipped test split."""
    split = split_of(patient)
    if member < ENSEMBLE:
        return split
    if split is Split.TEST:
        return None
    first = 2 * (member // ENSEMBLE - 1)
    part = _part_of(patient)
    if part in (first, first + 1):
        return Split.TEST
    return Split.VALIDATION if part == (first + 2) % PARTS else Split.TRAIN


def _part_of(patient: str) -> int:
    """By other bits of the hash than those that place a patient in a split."""
    return int.from_bytes(hashlib.sha256(patient.encode()).digest()[8:16]) % PARTS
