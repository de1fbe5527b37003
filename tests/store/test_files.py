"""Files: whole or absent, never replaced, never outside the spool."""

import hashlib
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cad_node.store import files
from cad_node.store.files import CONFLICT, NEW, SAME, InvalidUid, OutOfSpace, Spool, check_uid, clear_temporary, forget, write_durably
from tests.store import children
from tests.store.placing import place
from tests.store.race import kill_when_it_reports, race

UIDS = ("1.2.3", "1.2.3.1", "1.2.3.1.7")
HOSTILE = [
    "../../etc",
    "",
    ".",
    "..",
    "1..2",
    ".1",
    "1.",
    "1.2/3",
    "1.2\x003",
    "1.2 ",
    "1.2\n",
    "a.b",
    "1.-2",
    "١.٢",
    "1" * 65,
    "/etc/passwd",
]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with closing(Spool(tmp_path / "spool", 0)) as opened:
        yield opened


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 64 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk: a tmpfs can't be mounted here ({mounted.stderr.strip()})")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def everything_in(folder: Path) -> list[Path]:
    """But for the locks of live processes."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]


def test_a_placed_file_lies_under_its_uids_byte_for_byte(spool, tmp_path):
    placed = place(spool, *UIDS, b"DICM")

    assert placed.outcome is NEW
    assert placed.path.read_bytes() == b"DICM"
    assert everything_in(tmp_path) == [placed.path]
    assert placed.path.parts[-3:] == ("1.2.3", "1.2.3.1", "1.2.3.1.7.dcm")


def test_content_may_come_in_pieces(spool):
    placed = place(spool, *UIDS, b"DI", b"", b"CM")

    assert placed.path.read_bytes() == b"DICM"


def test_the_same_file_twice_is_one_file(spool, tmp_path):
    first = place(spool, *UIDS, b"DICM")
    again = place(spool, *UIDS, b"DICM")

    assert again.outcome is SAME
    assert again.path == first.path
    assert everything_in(tmp_path) == [first.path]


def test_another_content_is_kept_aside_and_never_replaces_the_first(spool, tmp_path):
    first = place(spool, *UIDS, b"DICM")

    others = [place(spool, *UIDS, b"other") for _ in range(2)]

    assert [other.outcome for other in others] == [CONFLICT, CONFLICT]
    assert others[0].path == others[1].path
    assert others[0].path.name == f"1.2.3.1.7.{hashlib.sha256(b'other').hexdigest()[:16]}.dcm"
    assert (first.path.read_bytes(), others[0].path.read_bytes()) == (b"DICM", b"other")
    assert len(everything_in(tmp_path)) == 2


def test_another_content_is_kept_once_whoever_sends_it(spool):
    def part10(sender: bytes, data_set: bytes) -> bytes:
        return bytes(128) + b"DICM" + b"\2\0\0\0UL\4\0" + len(sender).to_bytes(4, "little") + sender + data_set

    place(spool, *UIDS, part10(b"one", b"first"))

    kept, again = place(spool, *UIDS, part10(b"one", b"second")), place(spool, *UIDS, part10(b"another", b"second"))

    assert (again.path, again.outcome) == (kept.path, CONFLICT)


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("uid", HOSTILE)
def test_what_is_no_uid_never_becomes_a_path(spool, tmp_path, uid, position):
    uids = [*UIDS]
    uids[position] = uid

    with pytest.raises(InvalidUid) as refused:
        place(spool, *uids, b"DICM")

    assert everything_in(tmp_path) == []
    assert len(uid) < 4 or uid not in str(refused.value)


@given(st.text(max_size=80) | st.from_regex(r"[0-9./]{0,70}", fullmatch=True))
def test_a_checked_uid_is_one_plain_path_component(uid):
    try:
        check_uid("UID", uid)
    except InvalidUid:
        return
    assert Path(f"/spool/{uid}").resolve() == Path("/spool") / uid
    assert 0 < len(uid) <= 64


def test_uids_of_real_devices_pass():
    for uid in ("1", "1.2.840.10008.1.2", "2.25.329800735698586629295641978511506172918", "1.2.03", "9" * 64):
        check_uid("UID", uid)


def test_a_process_killed_in_the_middle_leaves_no_partial_file(spool, tmp_path):
    kill_when_it_reports(children.place_and_hang, tmp_path / "spool", UIDS[2])

    (left,) = everything_in(tmp_path)
    assert (left.parent.parent.name, left.suffix) == ("arriving", ".part")
    assert list(spool.left_behind()) == []
    assert everything_in(tmp_path) == []
    assert place(spool, *UIDS, b"DICM").outcome is NEW


def test_a_complete_file_of_a_killed_process_is_found_and_stays_until_it_is_forgotten(spool, tmp_path):
    kill_when_it_reports(children.complete_and_hang, tmp_path / "spool", b"DICM")

    found, again = list(spool.left_behind()), list(spool.left_behind())
    contents = [path.read_bytes() for path in found]
    forget(found[0])

    assert contents == [b"DICM"]
    assert again == found
    assert list(spool.left_behind()) == []


@given(position=st.integers(0, 999), bit=st.integers(0, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_a_file_that_a_power_cut_tore_is_told_by_its_name_and_removed(tmp_path, position, bit):
    dead = Spool(tmp_path / "spool", 0)
    torn, short = dead.arriving(), dead.arriving()
    for file in (torn, short):
        file.write(bytes(1000))
        file.complete()
    content = bytearray(1000)
    content[position] ^= 1 << bit
    torn.path.write_bytes(content)
    short.path.write_bytes(bytes(position))
    dead.close()

    with closing(Spool(tmp_path / "spool", 0)) as another:
        left = list(another.left_behind())

    assert left == []
    assert everything_in(tmp_path) == []


def test_what_a_live_process_is_receiving_is_left_alone(spool, tmp_path):
    file = spool.arriving()
    file.write(b"DICM")
    file.complete()

    with closing(Spool(tmp_path / "spool", 0)) as another:
        left = list(another.left_behind())

    assert left == []
    assert file.path.read_bytes() == b"DICM"


def test_half_a_result_of_a_killed_worker_is_cleared_wherever_it_lies(tmp_path):
    kill_when_it_reports(children.write_and_hang, tmp_path / "results" / "job" / "seg.dcm")
    write_durably(tmp_path / "results" / "another" / "sr.dcm", b"whole")

    before = {path.suffix for path in everything_in(tmp_path)}
    clear_temporary(tmp_path / "results")

    assert before == {".tmp", ".dcm"}
    assert [path.name for path in everything_in(tmp_path)] == ["sr.dcm"]


def test_two_processes_that_place_one_uid_have_one_winner_and_the_other_is_kept_aside(tmp_path):
    ours, theirs = race(children.place_many, tmp_path, ("ours", "theirs"))

    assert all({mine, other} == {NEW, CONFLICT} for mine, other in zip(ours, theirs, strict=True))
    for number, mine in enumerate(ours):
        final = tmp_path / "instances/1.2.3/1.2.3.1" / f"1.2.3.1.{number}.dcm"
        assert final.read_bytes() == (b"ours" if mine is NEW else b"theirs") * 1000
    assert len(list((tmp_path / "conflicts").iterdir())) == 50


def test_a_full_disk_is_out_of_space_and_leaves_nothing(small_disk):
    with closing(Spool(small_disk, 0)) as spool:
        with pytest.raises(OutOfSpace, match="No space left on device") as refused:
            place(spool, *UIDS, b"x" * 200_000)

        left = everything_in(small_disk)
        placed = place(spool, *UIDS, b"x" * 1000)
    assert refused.value.retryable
    assert left == []
    assert placed.outcome is NEW


def test_a_full_disk_keeps_the_result_that_was_there(small_disk):
    write_durably(small_disk / "seg.dcm", b"first")

    with pytest.raises(OutOfSpace):
        write_durably(small_disk / "seg.dcm", b"x" * 200_000)

    assert [path.read_bytes() for path in everything_in(small_disk)] == [b"first"]


def test_a_file_larger_than_the_file_system_takes_is_out_of_space_too(spool, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OutOfSpace):
            place(spool, *UIDS, b"x" * 200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert everything_in(tmp_path) == []


def test_other_trouble_of_the_disk_is_not_called_out_of_space(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(FileExistsError):
        write_durably(tmp_path / "file" / "seg.dcm", b"DICM")


@pytest.mark.parametrize(("min_free_mb", "room"), [(0, True), (10**9, False)])
def test_there_is_room_while_the_free_space_is_above_the_floor(tmp_path, min_free_mb, room):
    with closing(Spool(tmp_path, min_free_mb)) as spool:
        assert spool.has_room() is room


def test_a_result_replaces_the_one_of_an_earlier_attempt_whole(tmp_path):
    path = tmp_path / "results" / "job" / "seg.dcm"
    write_durably(path, b"first")

    sha256 = write_durably(path, b"second")

    assert path.read_bytes() == b"second"
    assert sha256 == hashlib.sha256(b"second").hexdigest()
    assert everything_in(tmp_path) == [path]


def test_a_file_is_durable_under_its_first_name_before_it_gets_the_final_one_and_that_too_before_the_first_goes(spool, monkeypatch):
    steps = []
    fsync, link, unlink = os.fsync, os.link, Path.unlink

    def seen_fsync(descriptor: int) -> None:
        steps.append("folder" if Path(f"/proc/self/fd/{descriptor}").resolve().is_dir() else "file")
        fsync(descriptor)

    def seen_link(source: Path, target: Path) -> None:
        link(source, target)
        steps.append("final name")

    def seen_unlink(path: Path, *, missing_ok: bool = False) -> None:
        steps.append("first name goes")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(files.os, "fsync", seen_fsync)
    monkeypatch.setattr(files.os, "link", seen_link)
    monkeypatch.setattr(Path, "unlink", seen_unlink)
    place(spool, *UIDS, b"DICM")

    assert steps[:2] == ["file", "folder"]
    assert steps[steps.index("final name") + 1] == "folder"
    assert steps[-2:] == ["folder", "first name goes"]


def test_a_spool_is_found_from_any_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with closing(Spool(Path("spool"), 0)) as spool:
        placed = place(spool, *UIDS, b"DICM")

    assert placed.path.is_absolute()
