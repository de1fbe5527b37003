"""Result files: whole or absent, and replaced whole."""

import hashlib

import pytest

from cad_node.disk import OutOfSpace
from cad_node.store.files import clear_temporary, write_durably
from tests.store import children
from tests.store.placing import everything_in
from tests.store.race import kill_when_it_reports


def test_half_a_result_of_a_killed_worker_is_cleared_wherever_it_lies(tmp_path):
    kill_when_it_reports(children.write_and_hang, tmp_path / "results" / "job" / "seg.dcm")
    write_durably(tmp_path / "results" / "another" / "sr.dcm", b"whole")

    before = {path.suffix for path in everything_in(tmp_path)}
    clear_temporary(tmp_path / "results")

    assert before == {".tmp", ".dcm"}
    assert [path.name for path in everything_in(tmp_path)] == ["sr.dcm"]


def test_a_full_disk_keeps_the_result_that_was_there(small_disk):
    write_durably(small_disk / "seg.dcm", b"first")

    with pytest.raises(OutOfSpace):
        write_durably(small_disk / "seg.dcm", b"x" * 200_000)

    assert [path.read_bytes() for path in everything_in(small_disk)] == [b"first"]


def test_other_trouble_of_the_disk_is_not_called_out_of_space(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(FileExistsError):
        write_durably(tmp_path / "file" / "seg.dcm", b"DICM")


def test_a_result_replaces_the_one_of_an_earlier_attempt_whole(tmp_path):
    path = tmp_path / "results" / "job" / "seg.dcm"
    write_durably(path, b"first")

    sha256 = write_durably(path, b"second")

    assert path.read_bytes() == b"second"
    assert sha256 == hashlib.sha256(b"second").hexdigest()
    assert everything_in(tmp_path) == [path]
