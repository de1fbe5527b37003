"""Which files of a folder can be sent, and why the others can't."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from cad_node.deliver.gather import Sendable, gather
from tests.factory import altered, ct_study, save_study


def test_files_are_found_in_nested_folders_whatever_their_names(tmp_path: Path):
    study = ct_study(slices=3)
    first, second, third = save_study(study, tmp_path / "a" / "b")
    (tmp_path / "IM000001").write_bytes(second.read_bytes())
    second.unlink()
    third.rename(tmp_path / "a" / ".hidden")

    gathered = gather(tmp_path)

    assert {(file.path, file.sop_instance_uid) for file in gathered.files} == {
        (first, study[0].SOPInstanceUID),
        (tmp_path / "IM000001", study[1].SOPInstanceUID),
        (tmp_path / "a" / ".hidden", study[2].SOPInstanceUID),
    }
    assert gathered.skipped == ()


def test_one_file_may_be_named_instead_of_a_folder(tmp_path: Path):
    (ds,) = ct_study(slices=1)
    (path,) = save_study([ds], tmp_path)

    assert gather(path).files == (Sendable(path, ds.StudyInstanceUID, ds.SOPInstanceUID),)


def test_an_empty_folder_gives_nothing(tmp_path: Path):
    gathered = gather(tmp_path)

    assert (gathered.files, gathered.skipped) == ((), ())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"%PDF-1.4\n%...", "not a DICOM file"),
        (bytes(128) + b"DICM", "no transfer syntax or SOP Instance UID"),
        (bytes(128) + b"DICM" + bytes(500), "no transfer syntax or SOP Instance UID"),
        (bytes(128) + b"DICM\x02\x00\x10\x00UI\xff\xff1.2.840", "no transfer syntax or SOP Instance UID"),
    ],
)
def test_junk_is_skipped_with_a_reason_and_its_neighbours_are_found(tmp_path: Path, content: bytes, reason: str):
    (good,) = save_study(ct_study(slices=1), tmp_path)
    junk = tmp_path / "junk"
    junk.write_bytes(content)

    gathered = gather(tmp_path)

    assert [file.path for file in gathered.files] == [good]
    assert gathered.skipped == ((junk, reason),)


def test_a_dicomdir_is_no_instance(tmp_path: Path):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID, ds.file_meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, MediaStorageDirectoryStorage
    ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.FileSetID, ds.DirectoryRecordSequence = "DISC", []
    ds.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)

    assert gather(tmp_path).skipped == ((tmp_path / "DICOMDIR", "a DICOMDIR"),)


def test_an_instance_without_its_uid_is_skipped(tmp_path: Path):
    ds = altered(ct_study(slices=1)[0], SOPInstanceUID="")
    (path,) = save_study([ds], tmp_path)

    assert gather(tmp_path).skipped == ((path, "no transfer syntax or SOP Instance UID"),)


@pytest.mark.parametrize("length", range(0, 2200, 61))
def test_a_file_cut_off_anywhere_is_either_sent_or_skipped(tmp_path: Path, length: int):
    (path,) = save_study(ct_study(slices=1), tmp_path)
    path.write_bytes(path.read_bytes()[:length])

    gathered = gather(tmp_path)

    assert len(gathered.files) + len(gathered.skipped) == 1


def test_no_reason_quotes_the_file(tmp_path: Path):
    bad = altered(ct_study(slices=1)[0], PatientName="Doe^Jane", StudyInstanceUID="1.2.3")
    (path,) = save_study([bad], tmp_path)
    path.write_bytes(path.read_bytes().replace(b"1.2.3\0", b"Doe^J\0"))

    gathered = gather(tmp_path)

    assert not any("Doe" in reason for _, reason in gathered.skipped)


def test_a_link_that_leads_nowhere_and_a_link_in_a_circle_are_passed_over(tmp_path: Path):
    (good,) = save_study(ct_study(slices=1), tmp_path / "study")
    (tmp_path / "study" / "gone").symlink_to("nowhere")
    (tmp_path / "study" / "circle").symlink_to(tmp_path / "study")

    gathered = gather(tmp_path / "study")

    assert [file.path for file in gathered.files] == [good]
