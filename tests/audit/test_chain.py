"""The hash chain: whatever is done to the log's files afterwards is found, and what a death leaves behind isn't in the way."""

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cad_node.audit.audit_log import AuditLog, log_files
from cad_node.audit.reading import records_after
from cad_node.audit.verify import Verified, verify
from tests.audit.conftest import NOON

RECORDS = 12
FILE_BYTES = 1_200  # about four records


def write(folder: Path, messages: list[str], max_file_bytes: int = FILE_BYTES) -> None:
    log = AuditLog(folder, max_file_bytes, fsync=False)
    for message in messages:
        log.append(message, NOON)
    log.close()


def messages(folder: Path) -> list[str]:
    return [record.message for _, record in records_after(folder)]


def sound(folder: Path) -> Verified:
    found = verify(folder, {})
    assert found.broken is None
    return found


@contextmanager
def whole_log() -> Iterator[tuple[Path, dict[int, str]]]:
    """A log of several files, and the anchor of its last record."""
    with TemporaryDirectory() as name:
        write(Path(name), [f"<AuditMessage>event {number} Käfer\n</AuditMessage>" for number in range(RECORDS)])
        last = sound(Path(name)).last
        yield Path(name), {last.sequence: last.hash}


def lines(folder: Path) -> list[tuple[Path, bytes]]:
    return [(path, line) for path in log_files(folder) for line in path.read_bytes().splitlines(keepends=True)]


def rewrite(folder: Path, kept: list[tuple[Path, bytes]]) -> None:
    for path in log_files(folder):
        path.write_bytes(b"".join(line for of, line in kept if of == path))


@given(st.data())
def test_an_edited_byte_is_found_where_it_is(data: st.DataObject):
    with whole_log() as (folder, anchor):
        path = data.draw(st.sampled_from(log_files(folder)))
        content = bytearray(path.read_bytes())
        position = data.draw(st.integers(0, len(content) - 2))  # the last line feed is the next test's
        content[position] ^= data.draw(st.integers(1, 255))
        edited = bytes(content).count(b"\n", 0, position) + 1
        path.write_bytes(content)

        found = verify(folder, anchor).broken

        assert (found.path, found.line) == (path, edited)


@given(st.data())
def test_a_line_that_is_gone_or_doubled_or_in_another_place_is_found(data: st.DataObject):
    with whole_log() as (folder, anchor):
        before = lines(folder)
        first, second = sorted(data.draw(st.lists(st.integers(0, RECORDS - 1), min_size=2, max_size=2, unique=True)))
        swapped = [(path, before[{first: second, second: first}.get(place, place)][1]) for place, (path, _) in enumerate(before)]
        changed = {
            "gone": before[:first] + before[first + 1 :],
            "doubled": [*before[:second], (before[second][0], before[first][1]), *before[second:]],
            "swapped": swapped,
            "tail gone": before[:second],
            "head gone": before[first + 1 :],
        }
        rewrite(folder, changed[data.draw(st.sampled_from(sorted(changed)))])

        assert verify(folder, anchor).broken


@given(file=st.integers(0, 10))
def test_a_file_that_is_gone_is_found_unless_it_is_the_oldest(file: int):
    with whole_log() as (folder, anchor):
        files = log_files(folder)
        file %= len(files)
        files[file].unlink()

        found = verify(folder, anchor)

        assert bool(found.broken) == (file > 0)
        assert file > 0 or found.first > 1


@given(cut=st.integers(1, 400), more=st.integers(1, 3))
def test_a_line_torn_off_by_a_death_is_told_in_the_log_and_the_chain_goes_on(cut: int, more: int):
    with whole_log() as (folder, _):
        last = log_files(folder)[-1]
        content = last.read_bytes()
        kept = content[:-cut]
        torn = kept.rpartition(b"\n")[2]
        last.write_bytes(kept)
        assert sound(folder).ends_torn == bool(torn)

        write(folder, [f"after {number}" for number in range(more)])

        found = sound(folder)
        assert (found.torn, found.ends_torn) == (int(bool(torn)), False)
        assert messages(folder)[-more:] == [f"after {number}" for number in range(more)]


@given(st.data())
def test_what_was_torn_off_can_not_be_edited_later(data: st.DataObject):
    with whole_log() as (folder, _):
        torn_file = log_files(folder)[-1]
        torn_file.write_bytes(torn_file.read_bytes() + b'{"sequence":13,"ti')
        write(folder, ["after"])
        size = torn_file.stat().st_size
        position = data.draw(st.integers(size - 18, size - 1))
        content = bytearray(torn_file.read_bytes())
        content[position] ^= 1
        torn_file.write_bytes(content)

        assert verify(folder, {}).broken


def test_deaths_one_after_another_are_told_together(folder: Path):
    write(folder, ["one"])
    for _ in range(2):
        with log_files(folder)[-1].open("ab") as file:
            file.write(b"{torn")
        (folder / f"audit-{len(log_files(folder)) + 1:06}.log").touch()

    write(folder, ["two"])

    assert messages(folder) == ["one", "two"]
    assert sound(folder).torn == 1


def test_a_line_that_is_longer_than_what_is_read_at_once_is_found_again(folder: Path):
    long = "x" * 300_000

    write(folder, ["one", long], max_file_bytes=10_000_000)
    write(folder, ["three"], max_file_bytes=10_000_000)

    assert messages(folder) == ["one", long, "three"]
    sound(folder)


def test_the_log_goes_on_in_a_new_file_and_old_ones_may_be_put_away(folder: Path):
    write(folder, [str(number) for number in range(50)])
    sizes = [path.stat().st_size for path in log_files(folder)]
    for path in log_files(folder)[:3]:
        shutil.move(path, folder.parent)

    write(folder, ["later"])

    assert len(sizes) > 5
    assert max(sizes) < 2 * FILE_BYTES
    assert sound(folder).last.sequence == 51
    assert sound(folder).first > 3


def test_an_edited_last_line_is_found_after_more_was_written(folder: Path):
    write(folder, ["one", "two"])
    path = log_files(folder)[-1]
    path.write_bytes(path.read_bytes().replace(b"two", b"TWO"))

    write(folder, ["three"])

    assert verify(folder, {}).broken.line == 2


def test_a_full_disk_leaves_no_half_line(folder: Path):
    log = AuditLog(folder, 10_000_000, fsync=False)
    log.append("one", NOON)
    size = log_files(folder)[-1].stat().st_size

    with file_size_limit(size + 100), pytest.raises(OSError, match="too large"):
        log.append("x" * 1_000, NOON)
    log.append("two", NOON)
    log.close()

    assert messages(folder) == ["one", "two"]
    assert sound(folder).torn == 0


def test_a_log_that_can_not_be_written_is_no_reason_to_stop(trail, folder: Path, capsys: pytest.CaptureFixture[str]):
    shutil.rmtree(folder)

    trail.application_started()

    assert "audit.not_written" in capsys.readouterr().out


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """As a full disk: what fits is written, the rest is an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
