"""Which of a pair of body parts a series is of, PS3.3 C.7.3.1: a detection doesn't know, and says so where it matters."""

from pydicom.dataset import Dataset

_UNPAIRED = frozenset(  # of the terms of PS3.16 Annex L, those that a patient has once
    {
        *("ABDOMEN", "ABDOMENPELVIS", "BACK", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "FACE", "HEAD", "HEADNECK", "MEDIASTINUM"),
        *("NECK", "NECKCHEST", "NECKCHESTABDOMEN", "NECKCHESTABDPELV", "PELVIS", "SKULL", "STERNUM", "WHOLEBODY"),
        *("CSPINE", "CTSPINE", "LSPINE", "SPINE", "SSPINE", "TSPINE"),
        *("AORTA", "BLADDER", "BRAIN", "COLON", "ESOPHAGUS", "HEART", "LIVER", "PANCREAS", "PROSTATE", "RECTUM", "SPLEEN", "STOMACH"),
        *("THYMUS", "THYROID", "TRACHEA", "UTERUS"),
    }
)


def state_laterality(ds: Dataset) -> None:
    """Laterality, type 2C: empty where the body part may be one of a pair, not there where it can't be."""
    if ds.get("BodyPartExamined") in _UNPAIRED:
        ds.pop("Laterality", None)
    else:
        ds.Laterality = None
