import time
import zlib

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from cad_node.receive.header import read_header
from cad_node.receive.statuses import UnparseableDataset
from tests.factory import altered, ct_study
from tests.receive.front_door import encoded

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # bad values are written on purpose


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian], ids=lambda syntax: syntax.name)
def test_the_index_entry_holds_json_values(syntax: str) -> None:
    ds = altered(ct_study(slices=1)[0], NumberOfFrames="2")

    header = read_header(encoded(ds, syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian), syntax)

    assert (header.study_instance_uid, header.sop_instance_uid, header.modality) == (ds.StudyInstanceUID, ds.SOPInstanceUID, "CT")
    assert header.index == {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "BodyPartExamined": "CHEST",
        "ImagePositionPatient": [-24.0, -24.0, 0.0],
        "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "PixelSpacing": [0.75, 0.75],
        "SliceThickness": 1.25,
        "Rows": 64,
        "Columns": 64,
        "NumberOfFrames": 2,
        "ConvolutionKernel": ["B"],
        "InstanceNumber": 1,
    }


@pytest.mark.parametrize("value", [b"nan ", b"inf ", b"many", b"1\\x2"])
def test_a_number_that_is_none_is_absent(value: bytes) -> None:
    without = altered(ct_study(slices=1)[0], SliceThickness=None)
    element = b"\x18\x00\x50\x00DS" + len(value).to_bytes(2, "little") + value
    whole = encoded(without)
    place = whole.index(b"\x18\x00\x60\x00DS")  # KVP comes next

    header = read_header(whole[:place] + element + whole[place:], ExplicitVRLittleEndian)

    assert "SliceThickness" not in header.index
    assert header.index["Rows"] == 64


def test_text_that_no_database_takes_is_cut_to_what_it_takes() -> None:
    ds = altered(ct_study(slices=1)[0], BodyPartExamined="CH\0EST" + "X" * 200, Modality="CT" * 20)

    header = read_header(encoded(ds), ExplicitVRLittleEndian)

    assert header.index["BodyPartExamined"].startswith("CHEST")
    assert (len(header.index["BodyPartExamined"]), len(header.modality)) == (64, 16)


@pytest.mark.parametrize("undefined_length", [False, True])
@pytest.mark.parametrize(("code", "expected"), [("109102", True), ("109101", False)])
def test_processing_equipment_is_told_from_acquisition_equipment(code: str, undefined_length: bool, expected: bool) -> None:
    purpose, equipment = Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = code, "DCM", "Equipment"
    equipment.Manufacturer, equipment.PurposeOfReferenceCodeSequence = "Another", Sequence([purpose])
    ds = altered(ct_study(slices=1)[0], ContributingEquipmentSequence=Sequence([equipment]))
    ds["ContributingEquipmentSequence"].is_undefined_length = undefined_length

    header = read_header(encoded(ds), ExplicitVRLittleEndian)

    assert header.names_processing is expected


def test_a_deflated_data_set_made_to_fill_the_memory_is_read_no_further_than_its_header() -> None:
    ds = ct_study(slices=1)[0]
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    whole = encoded(altered(ds, PixelData=None)) + b"\xe0\x7f\x10\x00OW\0\0" + (1 << 28).to_bytes(4, "little")
    bomb = deflater.compress(whole) + b"".join(deflater.compress(bytes(1 << 20)) for _ in range(1 << 8)) + deflater.flush()
    start = time.monotonic()

    header = read_header(bomb, DeflatedExplicitVRLittleEndian)

    assert header.sop_instance_uid == ds.SOPInstanceUID
    assert time.monotonic() - start < 1


def test_sequences_nested_without_end_are_refused() -> None:
    nested = (b"\x40\x00\x60\x02SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * 5000

    with pytest.raises(UnparseableDataset, match="RecursionError"):
        read_header(nested, ExplicitVRLittleEndian)
