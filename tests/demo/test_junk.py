"""The demonstration on a folder as people have them: one good study beside everything that can be wrong with files and studies."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from cad_node.phantom import phantom_study
from tests.demo.command import Shown, run_demo
from tests.factory import altered, ct_study, save_study

pytestmark = pytest.mark.slow

CORONAL = [1, 0, 0, 0, 0, -1]
NAME = "Doe^Jane"


def broken(number: int) -> list[Dataset]:
    return ct_study(slices=number, spacing_mm=2.5)


def two_orientations() -> list[Dataset]:
    """The first by UID is coronal: the order of UIDs decides nothing."""
    study = sorted(broken(40), key=lambda ds: ds.SOPInstanceUID)
    return [altered(ds, ImageOrientationPatient=CORONAL) if index % 2 == 0 else ds for index, ds in enumerate(study)]


def duplicate_positions() -> list[Dataset]:
    study = broken(40)
    return [*study[:-1], altered(study[0], SOPInstanceUID=study[-1].SOPInstanceUID)]


def slices_missing() -> list[Dataset]:
    study = broken(40)
    return study[:10] + study[15:]


REFUSED: dict[str, Callable[[], list[Dataset]]] = {
    "pixels-missing": lambda: [altered(ds, PixelData=None) for ds in broken(30)],
    "geometry-missing": lambda: [altered(ds, ImagePositionPatient=None) for ds in broken(30)],
    "slices-missing": slices_missing,
    "mixed-geometry": two_orientations,
    "duplicate-position": duplicate_positions,
    "no-matching-series": lambda: [altered(ds, Modality="MR") for ds in broken(30)],
}


@pytest.fixture(scope="module")
def studies() -> dict[str, list[Dataset]]:
    good = list(phantom_study(slices=60, spacing_mm=4, pixel_spacing_mm=1.0, size_px=360).datasets)
    made = {"good": good, **{code: make() for code, make in REFUSED.items()}}
    for ds in (ds for study in made.values() for ds in study):
        ds.PatientName, ds.file_meta.MediaStorageSOPInstanceUID = NAME, ds.SOPInstanceUID
    return made


@pytest.fixture(scope="module")
def shown(studies: dict[str, list[Dataset]], tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder = tmp_path_factory.mktemp("junk")
    root = folder / "disc"
    mixed = root / "good"
    for code, study in studies.items():
        save_study(study, root / code)
    (mixed / "report.pdf").write_bytes(b"%PDF-1.4\n" + bytes(1000))
    (mixed / "empty.dcm").write_bytes(b"")
    for length in (100, 400, 4000):
        cut_off(mixed / f"cut_{length}.dcm", length)
    save_study([orphan()], root / "orphan")
    dicomdir(root / "DICOMDIR")
    (root / "gone.dcm").symlink_to("nowhere")
    return run_demo(root, folder)


def test_the_good_study_is_analysed_and_the_demonstration_succeeds(shown: Shown, studies: dict[str, list[Dataset]]):
    assert shown.status == 0, shown.text
    assert shown.job(studies["good"][0].StudyInstanceUID)["state"] == "done"
    assert shown.document["findings"]
    assert {found["study_instance_uid"] for found in shown.document["objects"]} == {studies["good"][0].StudyInstanceUID}


@pytest.mark.parametrize("code", REFUSED)
def test_a_study_that_no_model_can_take_is_refused_with_its_code_and_a_sentence(shown: Shown, studies: dict[str, list[Dataset]], code: str):
    job = shown.job(studies[code][0].StudyInstanceUID)

    assert (job["state"], job["reason_code"]) == ("refused", code)
    assert f"job {job['id']}  {code}: " in shown.text
    assert job["reason"].split()[0] in shown.text


def test_files_that_are_no_dicom_files_are_skipped_and_named_with_the_reason(shown: Shown):
    skipped = {Path(entry["path"]).name: entry["reason"] for entry in shown.document["skipped"]}

    assert skipped == {
        "report.pdf": "not a DICOM file",
        "empty.dcm": "an empty file",
        "cut_100.dcm": "not a DICOM file",
        "cut_400.dcm": "no transfer syntax or SOP Instance UID",
        "DICOMDIR": "a DICOMDIR",
    }
    assert "skipped 1 file, a DICOMDIR: disc/DICOMDIR" in shown.text


def test_files_that_the_node_does_not_accept_are_named_with_its_status(shown: Shown):
    refused = {"/".join(Path(entry["path"]).parts[-2:]): entry["reason"] for entry in shown.document["not_received"]}

    assert set(refused) == {"good/cut_4000.dcm", "orphan/0001.dcm"}
    assert all(reason.startswith("0xC") for reason in refused.values())
    assert "not accepted by the node" in shown.text


def test_nothing_of_the_patient_is_printed_and_no_traceback(shown: Shown):
    assert NAME not in shown.text + shown.json_file.read_text()
    assert "Traceback" not in shown.text


@pytest.mark.skipif("CAD_NODE_DATA" not in os.environ, reason="CAD_NODE_DATA names no folder of real images")
def test_a_brain_mr_is_refused_and_never_analysed(tmp_path: Path):
    subprocess.run([Path(os.environ["CAD_NODE_DATA"]) / "unpack", "brain_mr_sag", tmp_path / "study"], check=True)

    shown = run_demo(tmp_path / "study", tmp_path)

    (job,) = shown.document["jobs"]
    assert (shown.status, job["state"], job["reason_code"]) == (1, "refused", "no-matching-series")
    assert (job["started_at"], shown.document["findings"], shown.document["objects"]) == (None, [], [])
    assert "modality MR, wanted CT" in " ".join(shown.text.split())
    assert "no model took a study" in shown.text


def cut_off(file: Path, length: int) -> None:
    (path,) = save_study(ct_study(slices=1), file.parent / file.stem)
    file.write_bytes(path.read_bytes()[:length])
    path.unlink()
    path.parent.rmdir()


def orphan() -> Dataset:
    """An image of no study: its Study Instance UID is empty."""
    return altered(ct_study(slices=1)[0], StudyInstanceUID="", SeriesInstanceUID=generate_uid())


def dicomdir(file: Path) -> None:
    """A DICOMDIR without records, as burning software leaves it on an empty disc."""
    ds = altered(Dataset(), FileSetID="", DirectoryRecordSequence=[], FileSetConsistencyFlag=0)
    ds.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = ds.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID, ds.file_meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, MediaStorageDirectoryStorage
    ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.save_as(file, enforce_file_format=True)
