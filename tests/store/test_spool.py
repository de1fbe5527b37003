"""The spool: files whole or absent, the first never replaced, none outside."""

from contextlib import closing
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from cad_node.store.spool import CONFLICT, NEW, SAME, InvalidUid, Spool, check_uid
from tests.store import children
from tests.store.placing import content, everything_in, place
from tests.store.race import race

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


def test_a_placed_file_lies_under_its_uids_byte_for_byte(spool, tmp_path):
    placed = place(spool, *UIDS, b"DICM")

    assert placed.outcome is NEW
    assert content(placed.path) == b"DICM"
    assert everything_in(tmp_path) == [placed.path]
    assert placed.path.parts[-3:] == ("1.2.3", "1.2.3.1", "1.2.3.1.7.dcm")


def test_content_may_come_in_pieces(spool):
    placed = place(spool, *UIDS, b"DI", b"", b"CM")

    assert content(placed.path) == b"DICM"


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
    assert others[0].path.name == f"1.2.3.1.7.{blake3(b'other').hexdigest()[:16]}.dcm"
    assert (content(first.path), content(others[0].path)) == (b"DICM", b"other")
    assert len(everything_in(tmp_path)) == 2


def test_another_content_is_kept_once_whoever_sends_it(spool):
    def head(sender: bytes) -> bytes:
        return b"DICM" + b"\2\0\0\0UL\4\0" + len(sender).to_bytes(4, "little") + sender

    place(spool, *UIDS, b"first", head=head(b"one"))

    kept, again = (place(spool, *UIDS, b"second", head=head(sender)) for sender in (b"one", b"another"))

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


def test_two_processes_that_place_one_uid_have_one_winner_and_the_other_is_kept_aside(tmp_path):
    ours, theirs = race(children.place_many, tmp_path, ("ours", "theirs"))

    assert all({mine, other} == {NEW, CONFLICT} for mine, other in zip(ours, theirs, strict=True))
    for number, mine in enumerate(ours):
        final = tmp_path / "instances/1.2.3/1.2.3.1" / f"1.2.3.1.{number}.dcm"
        assert content(final) == (b"ours" if mine is NEW else b"theirs") * 1000
    assert len(list((tmp_path / "conflicts").iterdir())) == 50


@pytest.mark.parametrize(("min_free_mb", "room"), [(0, True), (10**9, False)])
def test_there_is_room_while_the_free_space_is_above_the_floor(tmp_path, min_free_mb, room):
    with closing(Spool(tmp_path, min_free_mb)) as spool:
        assert spool.has_room() is room


def test_a_spool_is_found_from_any_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with closing(Spool(Path("spool"), 0)) as spool:
        placed = place(spool, *UIDS, b"DICM")

    assert placed.path.is_absolute()
