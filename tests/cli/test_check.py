"""check-air: files and folders in, a verdict for each rule out, and a status that a script can go by."""

from pathlib import Path

import pytest

from tests.checks.objects import altered, small_run
from tests.cli.conftest import CadNode


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A folder with a report and its Segmentation."""
    folder = tmp_path / "results"
    folder.mkdir()
    for name in ("sr", "seg"):
        (folder / f"{name}.dcm").write_bytes(small_run().first(name).content)
    return folder


def without_timezone(folder: Path) -> Path:
    file = folder / "sr.dcm"
    file.write_bytes(altered(file.read_bytes(), lambda ds: delattr(ds, "TimezoneOffsetFromUTC")))
    return folder


def test_objects_that_keep_the_rules_give_status_0(cad_node: CadNode, sound: Path):
    ended = cad_node("check-air", sound)

    assert ended.status == 0
    assert "violated" not in ended.out


def test_a_violated_rule_gives_status_1_and_is_named(cad_node: CadNode, sound: Path):
    ended = cad_node("check-air", without_timezone(sound) / "sr.dcm", sound / "seg.dcm")

    assert ended.status == 1
    assert "timezone" in ended.out
    assert "1 violated" in " ".join(ended.out.split())


def test_json_has_every_rule_of_every_file(cad_node: CadNode, sound: Path):
    document = cad_node("check-air", "--json", sound).document

    assert sorted(Path(row["file"]).name for row in document) == ["seg.dcm", "sr.dcm"]
    assert {rule["verdict"] for row in document for rule in row["rules"]} == {"ok", "not applicable"}
    assert all(len(row["rules"]) == len(document[0]["rules"]) > 20 for row in document)


def test_what_is_no_dicom_file_is_left_out_and_said(cad_node: CadNode, sound: Path):
    (sound / "notes.txt").write_text("no DICOM file at all")

    ended = cad_node("check-air", sound)

    assert ended.status == 0
    assert "notes.txt" in ended.out


def test_nothing_to_check_is_wrong_usage(cad_node: CadNode, tmp_path: Path):
    ended = cad_node("check-air", tmp_path)

    assert ended.status == 2
    assert "no DICOM file" in ended.err


def test_a_file_that_is_not_there_is_named(cad_node: CadNode, tmp_path: Path):
    ended = cad_node("check-air", tmp_path / "missing.dcm")

    assert ended.status == 1
    assert "missing.dcm" in ended.err
