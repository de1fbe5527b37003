"""Every recipe agrees on which patients are for training, and which only for tests."""

import csv
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cad_node.training.samples import Split
from cad_node.training.splits import SPLIT_FILES, split_of


def test_the_scans_that_the_node_is_tested_on_are_test_patients():
    assert split_of("LIDC-IDRI-0003") is Split.TEST
    assert split_of("LIDC-IDRI-0314") is Split.TEST


def test_the_split_file_names_each_patient_once_and_keeps_its_shares():
    with (SPLIT_FILES / "lidc_idri.csv").open() as stream:
        rows = list(csv.DictReader(stream))

    shares = Counter(row["split"] for row in rows)

    assert len({row["patient"] for row in rows}) == len(rows) == 873
    assert (shares["train"], shares["val"], shares["test"]) == (611, 131, 131)


def test_patients_that_no_file_names_are_split_about_alike():
    shares = Counter(split_of(f"somebody {number}") for number in range(4000))

    assert abs(shares[Split.TRAIN] / 4000 - 0.70) < 0.03
    assert abs(shares[Split.VALIDATION] / 4000 - 0.15) < 0.03


@given(st.text(max_size=64))
def test_a_patient_is_always_in_the_same_split(patient):
    assert split_of(patient) is split_of(str(patient))


def test_the_split_of_an_unnamed_patient_is_the_same_on_every_machine():
    assert [split_of(name) for name in ("a", "b", "c", "d", "e", "f")] == EXPECTED


EXPECTED = [Split.VALIDATION, Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.TRAIN]
