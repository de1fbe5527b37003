import os
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from cad_node.receive.header import read_header
from cad_node.receive.statuses import UnparseableDataset
from tests.factory import altered, ct_study
from tests.receive.front_door import encoded, with_frames

DELIMITER = b"\xfe\xff\xdd\xe0" + bytes(4)  # Sequence Delimitation Item, PS3.5 Table A.4-1
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


def test_a_delimiter_whose_length_looks_like_a_vr_is_a_delimiter_wherever_it_lies() -> None:
    inside = b"\x20\x00\x13\x00IS\x02\x007 "
    length = int.from_bytes(b"SH", "little")
    whole = (
        encoded(altered(ct_study(slices=1)[0], InstanceNumber=None, PixelData=None))
        + b"\xfe\xff\xdd\xe0SH\0\0"
        + inside.ljust(length, b"\0")
    )

    in_memory = read_header(whole, ExplicitVRLittleEndian)
    streamed = read_header(whole[:100], ExplicitVRLittleEndian, len(whole), lambda offset, count: whole[offset : offset + count])

    assert "InstanceNumber" not in in_memory.index
    assert streamed == in_memory


@pytest.fixture(scope="module")
def large_deflated() -> tuple[str, bytes]:
    """SOP Instance UID, and a deflated data set of 256 MiB."""
    ds = ct_study(slices=1)[0]
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    whole = encoded(altered(ds, PixelData=None)) + b"\xe0\x7f\x10\x00OW\0\0" + (1 << 28).to_bytes(4, "little")
    return ds.SOPInstanceUID, deflater.compress(whole) + b"".join(
        deflater.compress(bytes(1 << 20)) for _ in range(1 << 8)
    ) + deflater.flush()


def test_a_deflated_data_set_made_to_fill_the_memory_does_not(large_deflated: tuple[str, bytes]) -> None:
    sop_instance_uid, bomb = large_deflated
    tracemalloc.start()

    header = read_header(bomb, DeflatedExplicitVRLittleEndian)

    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert header.sop_instance_uid == sop_instance_uid
    assert most_bytes < 64 << 20


def test_a_large_deflated_data_set_that_is_cut_is_refused(large_deflated: tuple[str, bytes]) -> None:
    _, whole = large_deflated

    with pytest.raises(UnparseableDataset, match="ends too early"):
        read_header(whole[: len(whole) * 9 // 10], DeflatedExplicitVRLittleEndian)


def test_a_large_deflated_data_set_whose_pixels_were_cut_before_deflating_is_refused() -> None:
    whole = encoded(altered(ct_study(slices=1)[0], PixelData=bytes(20 << 20)))[: -(1 << 20)]
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)

    with pytest.raises(UnparseableDataset, match="runs beyond the end"):
        read_header(deflater.compress(whole) + deflater.flush(), DeflatedExplicitVRLittleEndian)


def test_a_deflated_data_set_made_to_take_for_ever_is_refused(large_deflated: tuple[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cad_node.receive.header._INFLATED_LIMIT", 100 << 20)

    with pytest.raises(UnparseableDataset, match="of more than 104857600 bytes"):
        read_header(large_deflated[1], DeflatedExplicitVRLittleEndian)


def test_the_items_of_a_large_multi_frame_image_are_walked_in_no_time() -> None:
    ds = with_frames(ct_study(slices=1)[0], [bytes(1000)] * 20_000)
    whole = encoded(ds)
    start = time.monotonic()

    header = read_header(whole, JPEG2000Lossless)

    assert header.sop_instance_uid == ds.SOPInstanceUID
    assert time.monotonic() - start < 0.5


def test_pixel_data_whose_delimiter_a_device_leaves_out_is_whole() -> None:
    ds = with_frames(ct_study(slices=1)[0], [b"frame"])
    whole = encoded(ds)

    header = read_header(whole[: -len(DELIMITER)], JPEG2000Lossless)

    assert whole.endswith(DELIMITER)
    assert header.sop_instance_uid == ds.SOPInstanceUID


def test_pixel_data_that_ends_in_the_header_of_an_item_is_refused() -> None:
    whole = encoded(with_frames(ct_study(slices=1)[0], [b"frame"]))

    with pytest.raises(UnparseableDataset, match="header of an element or item"):
        read_header(whole[:-4], JPEG2000Lossless)


@pytest.mark.parametrize("cut", [1, 8, 13, 100, 1100])
def test_pixel_data_behind_an_offset_table_is_checked_too(cut: int) -> None:
    ds = with_frames(ct_study(slices=1)[0], [bytes(1000)] * 2)
    ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = bytes(16), bytes(16)
    padding = b"\xfc\xff\xfc\xffOB\0\0\x08\0\0\0" + bytes(8)
    whole = encoded(ds) + padding

    read_header(whole, JPEG2000Lossless)
    with pytest.raises(UnparseableDataset):
        read_header(whole[:-cut] if cut < len(padding) else whole[: -cut - len(padding)], JPEG2000Lossless)


def test_sequences_nested_without_end_are_refused() -> None:
    nested = (b"\x40\x00\x60\x02SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * 5000

    with pytest.raises(UnparseableDataset, match="nested deeper"):
        read_header(nested, ExplicitVRLittleEndian)


@pytest.mark.parametrize("is_implicit_vr", [False, True])
def test_a_sequence_of_many_empty_items_does_not_fill_the_memory(is_implicit_vr: bool) -> None:
    ds = ct_study(slices=1)[0]
    head = b"\x08\x00\x15\x11" + (b"\xff" * 4 if is_implicit_vr else b"SQ\0\0\xff\xff\xff\xff")
    bomb = head + (b"\xfe\xff\x00\xe0" + bytes(4)) * 50_000 + DELIMITER
    tracemalloc.start()

    header = read_header(bomb + encoded(ds, is_implicit_vr), ImplicitVRLittleEndian if is_implicit_vr else ExplicitVRLittleEndian)

    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert header.sop_instance_uid == ds.SOPInstanceUID
    assert most_bytes < len(bomb) * 3  # the bytes themselves are joined, and their end is


def test_a_value_of_millions_of_values_does_not_fill_the_memory() -> None:
    ds = ct_study(slices=1)[0]
    bomb = b"\x08\x00\x08\x00" + (10 << 20).to_bytes(4, "little") + b"\\" * (10 << 20)
    whole = bomb + encoded(altered(ds, ImageType=None), is_implicit_vr=True)
    tracemalloc.start()

    header = read_header(whole, ImplicitVRLittleEndian)

    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "ImageType" not in header.index
    assert most_bytes < 1 << 20


def test_a_data_set_of_more_headers_than_any_image_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cad_node.receive.scan._MOST_HEADERS", 1000)

    with pytest.raises(UnparseableDataset, match="more than 1000 elements and items"):
        read_header(bytes(8) * 1001 + encoded(ct_study(slices=1)[0]), ExplicitVRLittleEndian)


def test_a_uid_behind_nul_characters_is_none() -> None:
    element = b"\x08\x00\x18\x00UI\x08\x00\0\0" + b"1.2.3\0"
    whole = encoded(altered(ct_study(slices=1)[0], SOPInstanceUID=None))

    header = read_header(element + whole, ExplicitVRLittleEndian)

    assert header.sop_instance_uid == "\0\0" + "1.2.3"  # what every reader of the file finds; it is refused as no UID


@pytest.mark.parametrize("tag", [b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0"])
def test_an_item_outside_of_any_sequence_is_refused(tag: bytes) -> None:
    with pytest.raises(UnparseableDataset, match="outside of any sequence"):
        read_header(encoded(ct_study(slices=1)[0]) + tag + bytes(4), ExplicitVRLittleEndian)


def test_a_delimiter_has_no_value_whatever_its_length_says() -> None:
    ds = ct_study(slices=1)[0]
    sequence = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0" + bytes(4) + DELIMITER[:4] + b"\x10\0\0\0"

    header = read_header(sequence + encoded(ds), ExplicitVRLittleEndian)

    assert header.sop_instance_uid == ds.SOPInstanceUID


def test_a_number_of_more_digits_than_its_value_representation_has_is_absent() -> None:
    ds = altered(ct_study(slices=1)[0], InstanceNumber=None)
    element = b"\x20\x00\x13\x00IS\x90\x01" + b"9" * 400

    header = read_header(element + encoded(ds), ExplicitVRLittleEndian)

    assert "InstanceNumber" not in header.index


def test_a_data_set_that_lies_on_disk_is_checked_without_being_read(tmp_path: Path) -> None:
    ds = ct_study(slices=1)[0]
    whole = encoded(altered(ds, PixelData=None)) + b"\xe0\x7f\x10\x00OW\0\0" + (1 << 31).to_bytes(4, "little")
    file = tmp_path / "sparse"
    with file.open("wb") as opened:
        opened.write(whole)
        opened.truncate(len(whole) + (1 << 31))
    read_bytes = []

    def read_at(offset: int, count: int) -> bytes:
        with file.open("rb") as opened:
            read_bytes.append(count)
            return os.pread(opened.fileno(), count, offset)

    header = read_header(whole, ExplicitVRLittleEndian, file.stat().st_size, read_at)
    with pytest.raises(UnparseableDataset, match="runs beyond the end"):
        read_header(whole, ExplicitVRLittleEndian, file.stat().st_size - 2, read_at)

    assert header.sop_instance_uid == ds.SOPInstanceUID
    assert sum(read_bytes) < 1 << 16
