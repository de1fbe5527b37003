"""send and echo, against a real archive on loopback."""

from pathlib import Path

import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from cad_node.demo.archive import Archive
from tests.cli.conftest import CadNode
from tests.deliver.peers import unused_port
from tests.factory import ct_study, save_study


@pytest.fixture
def archive(tmp_path: Path):
    with Archive(tmp_path / "archive") as running:
        yield running


def test_a_peer_that_is_there_answers(cad_node: CadNode, archive: Archive):
    ended = cad_node("echo", f"ARCHIVE@127.0.0.1:{archive.port}")

    assert (ended.status, ended.out) == (0, f"ok ARCHIVE at 127.0.0.1:{archive.port} answers\n")


def test_a_configured_destination_is_called_by_its_name(cad_node: CadNode, archive: Archive, config: Path):
    with config.open("a") as file:
        file.write(f'[destinations.pacs]\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\nport = {archive.port}\n')

    assert cad_node("echo", "pacs").status == 0


def test_a_destination_that_is_no_dicom_peer_is_not_called_unknown(cad_node: CadNode, config: Path):
    with config.open("a") as file:
        file.write('[destinations.web]\ntransport = "stow"\nurl = "https://pacs/dicom-web"\n')

    ended = cad_node("echo", "web")

    assert ended.status == 2
    assert "is reached by transport 'stow'" in " ".join(ended.err.replace("│", " ").split())


def test_a_peer_that_is_not_there_is_an_error_in_one_line_that_says_what_to_check(cad_node: CadNode):
    port = unused_port()

    ended = cad_node("echo", f"PACS@127.0.0.1:{port}")

    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith(f"error: PACS at 127.0.0.1:{port} can't be reached: Connection refused. Check that it runs")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("peer", ["pacs", "PACS@host", "@host:104", "PACS@host:0", "PACS@host:66000", "LONGER_THAN_16_BYTES@host:104"])
def test_a_peer_that_cannot_be_understood_is_wrong_usage(cad_node: CadNode, peer: str):
    ended = cad_node("echo", peer)

    assert ended.status == 2
    assert "Usage: cad-node echo" in ended.err
    assert "Traceback" not in ended.err


def test_a_folder_is_sent_and_its_junk_is_named(cad_node: CadNode, archive: Archive, tmp_path: Path):
    save_study(ct_study(slices=3), tmp_path / "study" / "nested")
    (tmp_path / "study" / "notes.pdf").write_bytes(b"%PDF-1.4")

    ended = cad_node("send", f"ARCHIVE@127.0.0.1:{archive.port}", tmp_path / "study")

    assert ended.status == 0
    assert "skipped 1 file, not a DICOM file: study/notes.pdf" in ended.out
    assert "3 of 3 sent, 1 files skipped" in ended.out
    assert len(archive.objects()) == 3


def test_a_file_that_the_peer_does_not_take_is_named_and_the_others_arrive(cad_node: CadNode, archive: Archive, tmp_path: Path):
    taken, other = ct_study(slices=2)
    other.file_meta.TransferSyntaxUID = JPEG2000Lossless  # the archive takes uncompressed ones only
    other.PixelData = encapsulate([b"\xff\x4f"])
    save_study([taken, other], tmp_path / "study")

    ended = cad_node("send", f"ARCHIVE@127.0.0.1:{archive.port}", tmp_path / "study")

    assert ended.status == 1
    assert "not taken 1 file, presentation context not accepted" in ended.out
    assert "study/0002.dcm" in ended.out
    assert len(archive.objects()) == 1


def test_an_unreachable_peer_is_told_once_for_all_files(cad_node: CadNode, tmp_path: Path):
    save_study(ct_study(slices=5), tmp_path / "study")

    ended = cad_node("send", f"PACS@127.0.0.1:{unused_port()}", tmp_path / "study")

    assert ended.status == 1
    assert ended.out.count("can't be reached") == 1
    assert "not taken 5 files" in ended.out
    assert "0 of 5 sent" in ended.out


def test_a_folder_without_dicom_files_is_nothing_to_send(cad_node: CadNode, tmp_path: Path):
    (tmp_path / "study").mkdir()

    ended = cad_node("send", "PACS@127.0.0.1:104", tmp_path / "study")

    assert (ended.status, ended.err) == (2, f"error: no DICOM file in {tmp_path / 'study'}\n")


def test_a_folder_that_is_not_there_is_wrong_usage(cad_node: CadNode, tmp_path: Path):
    assert cad_node("send", "PACS@127.0.0.1:104", tmp_path / "nowhere").status == 2
