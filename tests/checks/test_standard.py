"""The tables of PS3.3 that highdicom keeps for itself: as they were when the code that uses them was written."""

import pytest
from pydicom.uid import Comprehensive3DSRStorage, CTImageStorage, SegmentationStorage

from cad_node.checks.standard import is_known, requirements


def test_a_segmentation_needs_what_ps3_3_a_51_says():
    required = requirements(SegmentationStorage)

    assert {keyword: required[keyword].type for keyword in ("PatientID", "StudyInstanceUID", "SegmentSequence", "DeviceSerialNumber")} == {
        "PatientID": "2",
        "StudyInstanceUID": "1",
        "SegmentSequence": "1",
        "DeviceSerialNumber": "1",
    }
    assert required["SegmentSequence"].items["SegmentLabel"].type == "1"


def test_a_specialised_module_says_more_than_a_general_one():
    assert requirements(CTImageStorage)["SeriesNumber"].type == "2"
    assert requirements(SegmentationStorage)["SeriesNumber"].type == "1"


def test_macros_of_content_items_are_not_required_of_the_root():
    assert "ReferencedSOPSequence" not in requirements(Comprehensive3DSRStorage)


@pytest.mark.parametrize("sop_class_uid", ["1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.104.3", SegmentationStorage])
def test_the_tables_know_what_the_node_makes(sop_class_uid):
    assert is_known(sop_class_uid)
    assert requirements(sop_class_uid)


def test_a_sop_class_that_is_not_there_requires_nothing():
    assert not is_known("1.2.3")
    assert requirements("1.2.3") == {}
