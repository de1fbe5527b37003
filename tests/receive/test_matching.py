"""Attribute matching, PS3.4 C.2.2.2, rule by rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement

from cad_node.receive.matching import matches


def element(keyword: str, value: object) -> DataElement:
    return DataElement(tag_for_keyword(keyword), dictionary_VR(keyword), value, validation_mode=IGNORE)


@pytest.mark.parametrize(
    ("keyword", "wanted", "held", "expected"),
    [
        ("PatientID", "", "P-1", True),
        ("PatientID", "*", None, True),
        ("PatientID", "P-1", "P-1", True),
        ("PatientID", "P-1", "p-1", False),
        ("PatientID", "P-1", "", False),
        ("PatientID", "P-1", None, False),
        ("PatientID", "P-?", "P-1", True),
        ("PatientID", "P-?", "P-12", False),
        ("PatientID", "P[1]", "P1", False),
        ("PatientName", "MUSTER^EVA", "Muster^Eva", True),
        ("PatientName", "Muster^Eva^^^", "Muster^Eva", True),
        ("PatientName", "must*", "Muster^Eva", True),
        ("PatientName", "Muster", "Muster^Eva", False),
        ("StudyInstanceUID", ["1.2", "1.3"], "1.3", True),
        ("StudyInstanceUID", ["1.2", "1.3"], "1.4", False),
        ("StudyInstanceUID", "1.?", "1.3", False),
        ("ModalitiesInStudy", "SR", ["SEG", "SR"], True),
        ("ModalitiesInStudy", "CT", ["SEG", "SR"], False),
        ("StudyDate", "20260102", "20260102", True),
        ("StudyDate", "20260101-20260103", "20260102", True),
        ("StudyDate", "20260102-20260102", "20260102", True),
        ("StudyDate", "-20260101", "20260102", False),
        ("StudyDate", "20260103-", "20260102", False),
        ("StudyDate", "20260102-", "20260102", True),
        ("StudyDate", "2026.01.01-2026.01.03", "20260102", True),
        ("StudyDate", "20260101-", "", False),
        ("StudyTime", "1011", "101112.5", True),
        ("StudyTime", "101112", "101113", False),
        ("StudyTime", "1000-1011", "101159", True),
        ("StudyTime", "1000-1010", "101112", False),
        ("StudyTime", "10:00-", "101112", True),
        ("SeriesNumber", "7", 7, True),
        ("SeriesNumber", "7", 8, False),
        ("InstanceNumber", "1", None, False),
    ],
)
def test_a_value_matches_as_its_value_representation_says(keyword: str, wanted: object, held: object, expected: bool):
    there = None if held is None else element(keyword, held)

    assert matches(element(keyword, wanted), there) is expected


@given(st.text("AB?*.^[", min_size=1, max_size=6), st.text("AB.^[", max_size=6))
def test_wildcards_match_as_the_definition_says(pattern: str, text: str):
    found = matches(element("StudyDescription", pattern), element("StudyDescription", text))

    assert found is by_definition(pattern, text)


def by_definition(pattern: str, text: str) -> bool:
    """PS3.4 C.2.2.2.4: * is any sequence of characters, ? any one."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(by_definition(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in {"?", text[0]} and by_definition(pattern[1:], text[1:])


def test_many_asterisks_end_in_time():
    assert not matches(element("StudyDescription", "*A" * 30 + "*B"), element("StudyDescription", "A" * 64))
