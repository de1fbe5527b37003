from pathlib import Path

import pytest

from tests.training.nodules.small_set import PATIENTS, row, write_set


@pytest.fixture(scope="session")
def small_set(tmp_path_factory) -> Path:
    """For each patient, two per split, a large suspicious nodule and a small unsuspicious one."""
    rows = []
    for patients in PATIENTS.values():
        for patient in patients:
            number = patient[-4:]
            rows.append(row(f"{number}_00", patient, malignancy_per_reader="5 5 4 5", texture="5 5 5 5", spiculation="4 4 4 5"))
            rows.append(row(f"{number}_01", patient, malignancy_per_reader="1 1 2 1", texture="1 1 2 1", calcification="3 3 3 6"))
    return write_set(tmp_path_factory.mktemp("nodules"), rows)
