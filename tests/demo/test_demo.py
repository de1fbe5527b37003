"""The demonstration on a good study: exit 0, nodules found, every object read again; and how it ends when there is nothing to show."""

import os
import shutil
import signal
import subprocess
import sys
import time
from math import dist
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from cad_node.demo.reread import reread
from cad_node.imaging.concepts import SEGMENT_VOLUME
from cad_node.phantom import NODULES, phantom_study
from tests.demo.command import Shown, run_demo
from tests.factory import ct_study, save_study
from tests.shipped_models import LUNG_NODULES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def phantom() -> list[Dataset]:
    return list(phantom_study(slices=60, spacing_mm=4, pixel_spacing_mm=1.0, size_px=360).datasets)


@pytest.fixture(scope="module")
def shown(phantom: list[Dataset], tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder = tmp_path_factory.mktemp("demo")
    save_study(phantom, folder / 'a "study" [1]' / "nested")
    return run_demo(folder / 'a "study" [1]', folder)


def test_it_succeeds_whatever_node_the_user_has(shown: Shown):
    assert shown.status == 0, shown.text
    assert "What was made was delivered and read back" in shown.text
    assert "Traceback" not in shown.text


def test_the_nodules_of_the_phantom_are_found_where_they_are(shown: Shown):
    findings = shown.document["findings"]

    large = [nodule for nodule in NODULES if nodule.diameter_mm >= 8]
    found = [n for n in large if any(dist(finding["centre_lps_mm"], n.centre_lps_mm) < n.diameter_mm / 2 for finding in findings)]
    assert len(found) >= len(large) - 1
    assert all({"label", "centre_lps_mm", "diameter_mm", "volume_mm3", "score"} <= set(finding) for finding in findings)
    assert all(0 <= finding["score"] <= 1 and finding["volume_mm3"] > 0 for finding in findings)


def test_the_document_tells_jobs_objects_timings_and_that_nothing_was_wrong(shown: Shown, phantom: list[Dataset]):
    document = shown.document

    assert [(job["state"], job["study_instance_uid"]) for job in document["jobs"]] == [("done", phantom[0].StudyInstanceUID)]
    assert {"receive", "settle", "deliver", "load", "prepare", "infer", "build"} <= set(document["timings_s"])
    assert (document["problems"], document["skipped"], document["not_received"], document["unusable_models"]) == ([], [], [], [])


def test_the_objects_lie_where_the_document_says_in_the_same_study(shown: Shown, phantom: list[Dataset]):
    objects = shown.document["objects"]

    assert sorted(found["modality"] for found in objects) == ["SEG", "SR"]
    assert sorted(found["path"] for found in objects) == sorted(str(path) for path in shown.out.iterdir())
    for found in objects:
        ds = dcmread(found["path"], stop_before_pixels=True)
        assert (ds.SOPInstanceUID, ds.StudyInstanceUID) == (found["sop_instance_uid"], phantom[0].StudyInstanceUID)


def test_a_report_without_its_segmentation_does_not_read_back_right(shown: Shown, phantom: list[Dataset]):
    (report,) = shown.out.glob("SR-*")

    findings, problems = reread([report], {ds.SOPInstanceUID for ds in phantom})

    assert findings == ()
    assert "didn't arrive" in problems[0]


def test_a_segmentation_of_images_that_were_not_sent_does_not_read_back_right(shown: Shown):
    (segmentation,) = shown.out.glob("SEG-*")

    _, problems = reread([segmentation], {"1.2.3"})

    assert "images that weren't sent" in problems[0]


def test_a_report_that_contradicts_its_segment_does_not_read_back_right(shown: Shown, phantom: list[Dataset], tmp_path: Path):
    (report,), (segmentation,) = shown.out.glob("SR-*"), shown.out.glob("SEG-*")
    ds = dcmread(report)
    for item in volume_items(ds):
        item.MeasuredValueSequence[0].NumericValue, item.MeasuredValueSequence[0].FloatingPointValue = "1", 1.0
    ds.save_as(tmp_path / report.name)

    _, problems = reread([segmentation, tmp_path / report.name], {ds.SOPInstanceUID for ds in phantom})

    assert "reported 1 mm3, its segment has" in problems[0]


def test_an_object_that_was_cut_off_does_not_read_back_right(shown: Shown, phantom: list[Dataset], tmp_path: Path):
    (report,), (segmentation,) = shown.out.glob("SR-*"), shown.out.glob("SEG-*")
    cut = tmp_path / segmentation.name
    cut.write_bytes(segmentation.read_bytes()[:-1000])

    _, problems = reread([cut, report], {ds.SOPInstanceUID for ds in phantom})

    assert problems == (f"{segmentation.name} can't be read back: ValueError",)


def test_a_folder_without_dicom_files_ends_with_2_before_a_node_is_started(tmp_path: Path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "notes.txt").write_text("no image")

    shown = run_demo(tmp_path / "study", tmp_path)

    assert shown.status == 2
    assert "skipped 1 file, not a DICOM file: study/notes.txt" in shown.text
    assert f"error: no DICOM file in {tmp_path / 'study'}" in shown.text
    assert not shown.json_file.exists()


def test_without_a_usable_model_it_ends_with_1_and_names_what_is_wrong(tmp_path: Path):
    model = shutil.copytree(LUNG_NODULES, tmp_path / "models" / LUNG_NODULES.parent.name / LUNG_NODULES.name)
    (model / "model.onnx").write_bytes(b"changed")
    save_study(ct_study(slices=3), tmp_path / "study")

    shown = run_demo(tmp_path / "study", tmp_path, "--models", str(tmp_path / "models"))

    assert shown.status == 1
    assert "no job" in shown.text
    assert "graph.sha256" in shown.text
    assert (shown.document["jobs"], len(shown.document["unusable_models"])) == ([], 1)


def test_ctrl_c_ends_every_process_that_it_started(tmp_path: Path):
    save_study(ct_study(slices=3), tmp_path / "study")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "cad_node.cli", "demo", "--study", str(tmp_path / "study"), "--out", str(tmp_path / "out")]
    demo = subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(temporary)}, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: any("scp.listening" in log.read_text() for log in temporary.glob("*/node.log")))

    demo.send_signal(signal.SIGINT)
    status = demo.wait(60)

    assert status != 0
    assert of_session(demo.pid) == []
    assert list(temporary.glob("cad-node-*")) == []


def volume_items(ds: Dataset) -> list[Dataset]:
    """The segments' volumes in a report's content tree."""
    volumes = []
    for item in ds.get("ContentSequence", []):
        if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeMeaning == SEGMENT_VOLUME.concept.meaning:
            volumes.append(item)
        volumes += volume_items(item)
    return volumes


def of_session(session: int) -> list[str]:
    """The command lines of the running processes of a session."""
    running = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                command = (folder / "cmdline").read_text()
            except OSError:
                continue
            if int(stat[3]) == session and stat[0] != "Z":
                running.append(command)
    return running


def wait_until(true) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)
