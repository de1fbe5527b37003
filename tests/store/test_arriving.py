"""Files that are being received: durable when they are complete, and what isn't complete is told from what is."""

import errno
import fcntl
import hashlib
import os
import resource
import shutil
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from cad_node.disk import OutOfSpace
from cad_node.receive.collected import Collected
from cad_node.receive.part10 import file_head
from cad_node.store.arriving import BLOCK_BYTES, ArrivingFile, forget
from cad_node.store.digest import PREAMBLE_BYTES, digest_of, is_as, named
from cad_node.store.spool import NEW, SAME, Spool
from tests.store import children
from tests.store.placing import content, everything_in, fill, place
from tests.store.race import kill_when_it_reports

UIDS = ("1.2.3", "1.2.3.1", "1.2.3.1.7")
CT, EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
DATA_SET = b"\x08\x00\x18\x00UI\x06\x001.2.3\x00" + b"\xe0\x7f\x10\x00OW\x00\x00\x10\x27\x00\x00" + os.urandom(10_000)


def fill_at_once(file: ArrivingFile, data_set: bytes = DATA_SET) -> str:
    """Write and complete a file as an image is: in one piece of so many blocks; its digest."""
    memory = Collected()
    memory.room[: len(data_set)] = data_set
    memory.take(0, len(data_set))
    head = file_head(CT, "1.2.3", EXPLICIT, "MODALITY", len(data_set))
    file.complete_at_once(memory.behind(bytes(PREAMBLE_BYTES) + head), head, blake3(data_set))
    return named(blake3(data_set))


def test_a_process_killed_in_the_middle_leaves_no_partial_file(spool, tmp_path):
    kill_when_it_reports(children.place_and_hang, tmp_path / "spool", UIDS[2])

    (left,) = everything_in(tmp_path)
    assert left.parent.parent.name == "arriving"
    assert list(spool.left_behind()) == []
    assert everything_in(tmp_path) == []
    assert place(spool, *UIDS, b"DICM").outcome is NEW


def test_a_complete_file_of_a_killed_process_is_found_and_stays_until_it_is_forgotten(spool, tmp_path):
    kill_when_it_reports(children.complete_and_hang, tmp_path / "spool", b"DICM")

    found, again = list(spool.left_behind()), list(spool.left_behind())
    contents = [(content(path), digest) for path, digest in found]
    forget(found[0][0])

    assert contents == [(b"DICM", named(blake3(b"DICM")))]
    assert again == found
    assert list(spool.left_behind()) == []


def test_what_an_earlier_release_had_acknowledged_is_found_too_and_is_still_the_same_instance(spool, tmp_path):
    first = place(spool, *UIDS, DATA_SET, head=file_head(CT, "1.2.3", EXPLICIT, "MODALITY"))
    whole = bytes(PREAMBLE_BYTES) + first.path.read_bytes()[PREAMBLE_BYTES:]
    (left := tmp_path / "spool" / "arriving" / "of a dead process").mkdir()
    sha256 = hashlib.sha256(whole).hexdigest()
    (left / f"0.{sha256}.dcm").write_bytes(whole)
    (left / f"1.{sha256}.dcm").write_bytes(whole[:-1])
    (left / "2.part").write_bytes(whole)

    ((path, digest),) = spool.left_behind()
    placed = spool.place(path, digest, first.path)

    assert (path.name, digest) == (f"0.{sha256}.dcm", f"sha256:{sha256}")
    assert (placed.path, placed.outcome) == (first.path, SAME)


@given(position=st.integers(0, 2**14 - 1), bit=st.integers(0, 7), is_at_once=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_a_file_that_a_power_cut_tore_is_told_by_its_preamble_and_removed(tmp_path, position, bit, is_at_once):
    dead = Spool(tmp_path / "spool", 0)
    torn, short, longer = dead.arriving(), dead.arriving(), dead.arriving()
    for file in (torn, short, longer):
        fill_at_once(file) if is_at_once else fill(file, DATA_SET, head=file_head(CT, "1.2.3", EXPLICIT, ""))
    whole = bytearray(torn.path.read_bytes())
    is_said = (position := position % len(whole)) < 60 or position >= PREAMBLE_BYTES  # the rest of the preamble says nothing
    whole[position] ^= 1 << bit
    torn.path.write_bytes(whole)
    os.truncate(short.path, position)
    os.truncate(longer.path, len(whole) + 1)
    dead.close()

    with closing(Spool(tmp_path / "spool", 0)) as another:
        left = [path for path, _ in another.left_behind()]

    assert left == ([] if is_said else [torn.path])
    shutil.rmtree(tmp_path / "spool")


def test_what_a_live_process_is_receiving_is_left_alone(spool, tmp_path):
    file = spool.arriving()
    fill(file, b"DICM")

    with closing(Spool(tmp_path / "spool", 0)) as another:
        left = list(another.left_behind())

    assert left == []
    assert content(file.path) == b"DICM"


@pytest.mark.parametrize("size", [2, 3000, 3900, 4096, 100_000, 1_000_000])
def test_an_image_written_at_once_is_a_file_of_blocks_that_others_read(spool, size):
    data_set = DATA_SET[:14] + b"\xe0\x7f\x10\x00OW\x00\x00" + size.to_bytes(4, "little") + os.urandom(size)
    file = spool.arriving()

    digest = fill_at_once(file, data_set)

    ds = dcmread(file.path)
    assert file.path.stat().st_size % BLOCK_BYTES == 0
    assert (ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.SourceApplicationEntityTitle) == (CT, "MODALITY")
    assert ds.PixelData == data_set[26:]
    assert digest == digest_of(file.path)


def test_the_digest_is_of_the_data_set_whoever_sent_it_and_however_it_was_written(spool):
    at_once, in_pieces, from_another = spool.arriving(), spool.arriving(), spool.arriving()

    digests = {
        fill_at_once(at_once),
        fill(in_pieces, DATA_SET[:5000], DATA_SET[5000:], head=file_head(CT, "1.2.3", EXPLICIT, "MODALITY")),
        fill(from_another, DATA_SET, head=file_head(CT, "1.2.3", EXPLICIT, "ANOTHER")),
    }

    assert len(digests) == 1
    assert {digest_of(file.path) for file in (at_once, in_pieces, from_another)} == digests


def test_a_file_of_an_earlier_release_is_checked_by_the_digest_that_it_got(tmp_path):
    (path := tmp_path / "a.dcm").write_bytes(b"received long ago")
    digest = f"sha256:{hashlib.sha256(b'received long ago').hexdigest()}"

    assert is_as(path, digest)
    path.write_bytes(b"received long agO")
    assert not is_as(path, digest)


def test_damage_in_the_head_of_a_file_is_noticed_too(spool):
    file = spool.arriving()
    digest = fill_at_once(file)
    whole = bytearray(file.path.read_bytes())
    whole[whole.index(EXPLICIT.encode())] ^= 1

    before = is_as(file.path, digest)
    file.path.write_bytes(whole)

    assert (before, is_as(file.path, digest), digest_of(file.path) == digest) == (True, False, True)


@pytest.mark.parametrize("reason", [errno.EINVAL, errno.EOPNOTSUPP])
def test_where_nothing_is_written_past_the_cache_an_image_is_flushed(spool, monkeypatch, reason):
    pwritev, flushed = os.pwritev, []

    def refuse(descriptor: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        if flags:
            raise OSError(reason, os.strerror(reason))
        assert not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT
        return pwritev(descriptor, buffers, offset)

    monkeypatch.setattr(os, "pwritev", refuse)
    monkeypatch.setattr(os, "fdatasync", flushed.append)
    file = spool.arriving()

    digest = fill_at_once(file)

    assert len(flushed) == 1
    assert digest_of(file.path) == digest


def test_what_the_disk_took_only_a_part_of_is_written_again_and_flushed(spool, monkeypatch):
    pwritev, flushed = os.pwritev, []

    def take_a_part(descriptor: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        return pwritev(descriptor, [buffers[0][:BLOCK_BYTES]] if flags else [buffers[0][:1]], offset, flags)

    monkeypatch.setattr(os, "pwritev", take_a_part)
    monkeypatch.setattr(os, "fdatasync", flushed.append)
    file = spool.arriving()

    digest = fill_at_once(file)

    assert len(flushed) == 1
    assert digest_of(file.path) == digest


@pytest.mark.parametrize("complete", [fill, fill_at_once])
def test_a_file_whose_name_was_taken_away_is_not_complete(spool, complete):
    file = spool.arriving()
    file.path.unlink()

    with pytest.raises(FileNotFoundError):
        complete(file, DATA_SET)


def test_a_full_disk_is_out_of_space_and_leaves_nothing(small_disk):
    with closing(Spool(small_disk, 0)) as spool:
        with pytest.raises(OutOfSpace, match="No space left on device") as refused:
            place(spool, *UIDS, b"x" * 200_000)
        at_once = spool.arriving()
        with pytest.raises(OutOfSpace, match="No space left on device"):
            fill_at_once(at_once, bytes(200_000))
        at_once.discard()

        left = everything_in(small_disk)
        placed = place(spool, *UIDS, b"x" * 1000)
    assert refused.value.retryable
    assert left == []
    assert placed.outcome is NEW


def test_a_file_larger_than_the_file_system_takes_is_out_of_space_too(spool, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OutOfSpace):
            place(spool, *UIDS, b"x" * 200_000)
        at_once = spool.arriving()
        with pytest.raises(OutOfSpace):
            fill_at_once(at_once, bytes(200_000))
        at_once.discard()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert everything_in(tmp_path) == []


def test_names_are_durable_before_contents_and_the_final_name_before_the_first_goes(spool, monkeypatch):
    steps: list[str] = []

    def note(step: str, name: str, module: object = os) -> None:
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, **more: (steps.append(step), real(*args, **more))[1])

    note("folder", "fsync")
    note("flushed", "fdatasync")
    note("written through", "pwritev")
    note("final name", "link")
    note("first name goes", "unlink", Path)
    place(spool, *UIDS, b"DICM")
    of_one, steps[:] = list(steps), []
    fill_at_once(spool.arriving())

    assert of_one[0] == "folder"
    assert ("flushed", "final name") in pairwise(step for step in of_one if step != "folder")
    assert of_one[of_one.index("final name") + 1] == "folder"
    assert of_one[-2:] == ["folder", "first name goes"]
    assert steps == ["written through"]


def test_names_that_were_not_needed_go_with_the_process(tmp_path):
    with closing(Spool(tmp_path, 0)) as spool:
        forget(spool.arriving().path)

    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"]
