"""Into a folder: whole files under their names, whatever the disk and the power do."""

import os
import signal
import stat
import subprocess
import sys

import pytest
from pydicom import dcmread

from cad_node.deliver.folder import Folder
from cad_node.settings import FolderDestination
from tests.factory import altered, ct_study, save_study
from tests.receive.small_disk import fill, small_disk

DELIVERED, LATER, NEVER = (True, False), (False, True), (False, False)


@pytest.fixture
def files(tmp_path):
    return save_study(ct_study(slices=3), tmp_path / "files")


def to(path, **more) -> FolderDestination:
    return FolderDestination(transport="folder", path=path, **more)


def send(path, files, **more):
    return list(Folder(to(path, **more)).send(files))


def verdicts(outcomes):
    return [(outcome.delivered, outcome.retryable) for outcome in outcomes]


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_files_lie_byte_for_byte_under_their_study_series_and_instance(files, tmp_path):
    outcomes = send(tmp_path, files[:1])

    ds = dcmread(files[0])
    filed = tmp_path / ds.StudyInstanceUID / ds.SeriesInstanceUID / f"{ds.SOPInstanceUID}.dcm"
    assert verdicts(outcomes) == [DELIVERED]
    assert filed.read_bytes() == files[0].read_bytes()


def test_a_layout_of_one_s_own_is_followed(files, tmp_path):
    (tmp_path / "flat").mkdir()

    send(tmp_path / "flat", files, layout="cad/{sop_instance_uid}")

    assert names(tmp_path / "flat") == sorted(f"cad/{dcmread(path).SOPInstanceUID}" for path in files)


@pytest.mark.parametrize(("umask", "file_mode", "folder_mode"), [("077", 0o600, 0o700), ("0027", 0o640, 0o750), ("002", 0o664, 0o775)])
def test_permissions_are_those_of_the_umask_whatever_the_process_has(files, tmp_path, umask, file_mode, folder_mode):
    (tmp_path / "share").mkdir()
    before = os.umask(0o077)
    try:
        send(tmp_path / "share", files[:1], umask=umask)
    finally:
        os.umask(before)

    modes = {path.is_file(): stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "share").rglob("*")}
    assert modes == {True: file_mode, False: folder_mode}


def test_the_same_object_again_takes_its_own_place(files, tmp_path):
    (tmp_path / "share").mkdir()

    outcomes = send(tmp_path / "share", [*files, *files])

    assert verdicts(outcomes) == [DELIVERED] * 6
    assert len(names(tmp_path / "share")) == 3


def test_a_folder_that_is_not_there_is_not_made_since_a_share_may_be_unmounted(files, tmp_path):
    outcomes = send(tmp_path / "share", files[:1])

    assert verdicts(outcomes) == [LATER]
    assert outcomes[0].reason == f"folder {tmp_path / 'share'}: No such file or directory; make it, or mount its share"
    assert not (tmp_path / "share").exists()


def test_a_full_disk_may_be_cleared_and_nothing_half_is_left(tmp_path):
    files = save_study(ct_study(slices=2, voxels=None), tmp_path / "files")
    with files[1].open("ab") as file:
        file.write(bytes(3_000_000))

    with small_disk(tmp_path / "disk", 4) as disk:
        filler = fill(disk, leave_mb=1)
        full = send(disk, files)
        left = names(disk)
        filler.unlink()
        later = send(disk, files[1:])

    assert verdicts(full) == [DELIVERED, LATER]
    assert "No space left on device" in full[1].reason
    assert len(left) == 2  # the one that fitted, and the filler
    assert verdicts(later) == [DELIVERED]


def test_a_folder_that_can_only_be_read_may_be_mended(files, tmp_path):
    with small_disk(tmp_path / "disk", 4) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        outcomes = send(disk, files[:1])

    assert verdicts(outcomes) == [LATER]
    assert "Read-only file system" in outcomes[0].reason


DIES_BEFORE_THE_RENAME = """
import os, pathlib, signal, sys
from cad_node.deliver.folder import Folder
from cad_node.settings import FolderDestination

pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
list(Folder(FolderDestination(transport="folder", path=sys.argv[1])).send([pathlib.Path(sys.argv[2])]))
"""


def test_a_crash_between_write_and_rename_leaves_nothing_under_the_name_and_the_next_attempt_clears_up(files, tmp_path):
    share = tmp_path / "share"
    share.mkdir()

    died = subprocess.run([sys.executable, "-c", DIES_BEFORE_THE_RENAME, str(share), str(files[0])], check=False)
    after_the_crash = names(share)
    outcomes = send(share, files[:1])

    assert died.returncode == -signal.SIGKILL
    assert [name.rpartition("/")[2] for name in after_the_crash] == [f".{dcmread(files[0]).SOPInstanceUID}.dcm.part"]
    assert verdicts(outcomes) == [DELIVERED]
    assert [name.rpartition("/")[2] for name in names(share)] == [f"{dcmread(files[0]).SOPInstanceUID}.dcm"]


@pytest.mark.parametrize("uid", ["../../etc/passwd", "..", "1.2/3", ""])
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of the UID that is wrong on purpose
def test_a_uid_never_names_a_place_outside(tmp_path, uid):
    (tmp_path / "share").mkdir()
    files = save_study([altered(ct_study(slices=1)[0], StudyInstanceUID=uid)], tmp_path / "files")

    outcomes = send(tmp_path / "share", files)

    assert verdicts(outcomes) == [NEVER]
    assert names(tmp_path / "share") == []
