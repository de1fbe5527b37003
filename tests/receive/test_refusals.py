import errno
import shutil
import sqlite3
import zlib
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

from cad_node.errors import CadNodeError
from cad_node.receive.statuses import STORE_STATUSES, status_of
from cad_node.store.database import DatabaseUnavailable
from tests.factory import altered, ct_study
from tests.receive.front_door import FrontDoor, encoded, identity, opened_front_door, paused, store, store_bytes, with_frames

LONG_UID = "1." + "2" * 63
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # the senders here write bad values on purpose


def test_every_comment_fits_its_element() -> None:
    lengths = {status.comment: len(status.comment) for status in STORE_STATUSES.values()}

    assert max(lengths.values()) <= 64  # LO, PS3.5 6.2
    assert len(lengths) == len(STORE_STATUSES)  # each says one thing


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"StudyInstanceUID": None}, 0xC010),
        ({"SeriesInstanceUID": None}, 0xC010),
        ({"SOPInstanceUID": None}, 0xC010),
        ({"SOPClassUID": None}, 0xC010),
        *(
            ({keyword: bad}, 0xC010)
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
            for bad in ("", "../../etc", LONG_UID, "patient", "1..2", ".", "1.2/3")
        ),
        ({"SOPInstanceUID": "1.2.3.4"}, 0xA900),
        ({"SOPClassUID": MRImageStorage}, 0xA900),
    ],
    ids=str,
)
def test_a_bad_instance_is_refused_and_its_neighbours_are_stored(front_door: FrontDoor, values: dict, status: int) -> None:
    first, last = ct_study(slices=2)
    bad = ct_study(slices=1)[0]
    association = front_door.associate()

    before = store(association, first)
    refused = store_bytes(association, encoded(altered(bad, **values)), CTImageStorage, bad.SOPInstanceUID)
    after = store(association, last)

    association.release()
    assert (before.Status, refused.Status, after.Status) == (0x0000, status, 0x0000)
    assert refused.ErrorComment in {row.comment for row in STORE_STATUSES.values() if row.code == status}
    assert len(front_door.files(first.StudyInstanceUID)) == 2
    assert front_door.study(first.StudyInstanceUID).instances == 2
    assert not front_door.files(bad.StudyInstanceUID)


@pytest.mark.parametrize("uid", ["../../etc", LONG_UID, "patient", "1..2", "é", "1.2\\3.4", "x" * 200])
def test_a_bad_uid_in_the_command_ends_no_association(front_door: FrontDoor, uid: str) -> None:
    bad, good = identity(), identity()
    bad.SOPInstanceUID = uid
    association = front_door.associate()

    refused = store_bytes(association, encoded(bad), CTImageStorage, uid)
    stored = store(association, good)

    association.release()
    assert (refused.Status, stored.Status) == (0xC010, 0x0000)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize(
    "junk", [b"", b"\0", b"%PDF-1.7\n%junk", b"\xff" * 1000, bytes(1000)], ids=["empty", "one byte", "PDF", "ones", "zeros"]
)
def test_what_is_no_data_set_is_refused(front_door: FrontDoor, syntax: str, junk: bytes) -> None:
    association = front_door.associate((CTImageStorage, syntax))

    status = store_bytes(association, junk, CTImageStorage, generate_uid())

    association.release()
    assert (status.Status, status.ErrorComment) == (0xC000, "The data set can't be parsed in its transfer syntax")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("syntax", [*SYNTAXES, JPEGLosslessSV1, JPEG2000Lossless, RLELossless], ids=lambda syntax: syntax.name)
def test_a_truncated_data_set_is_refused(front_door: FrontDoor, syntax: str, kept: float) -> None:
    ds = ct_study(slices=1)[0]
    if syntax not in SYNTAXES:
        ds = with_frames(ds, [bytes(range(256)) * 20] * 2)
    whole = encoded(ds, syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    if syntax == DeflatedExplicitVRLittleEndian:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        whole = deflater.compress(whole) + deflater.flush()
    association = front_door.associate((CTImageStorage, syntax))

    status = store_bytes(association, whole[: int(len(whole) * kept)], CTImageStorage, ds.SOPInstanceUID)

    association.release()
    assert status.Status == 0xC000
    assert not front_door.files(ds.StudyInstanceUID)


class AnyRetryable(CadNodeError):
    retryable = True


@pytest.mark.parametrize(
    "fault", [DatabaseUnavailable("away"), AnyRetryable("later"), OSError(errno.EIO, "I/O error"), OSError(errno.EMFILE, "")], ids=repr
)
def test_a_fault_that_may_pass_is_out_of_resources(fault: Exception) -> None:
    assert status_of(fault) == (0xA700, "Out of resources for now; send it again later")


@pytest.mark.parametrize("fault", [CadNodeError("a refusal"), ValueError("a defect")], ids=repr)
def test_a_fault_that_stays_is_a_processing_failure(fault: Exception) -> None:
    assert status_of(fault).code == 0xC0FF


def test_an_instance_that_came_while_the_database_was_away_is_taken_and_indexed_later(own_front_door: FrontDoor) -> None:
    ds, file = ct_study(slices=1)[0], own_front_door.folder / "node.db"
    own_front_door.database.dispose()
    file.rename(file.with_suffix(".away"))
    file.mkdir()
    association = own_front_door.associate()
    status = store(association, ds)
    file.rmdir()
    file.with_suffix(".away").rename(file)

    association.release()

    assert status.Status == 0x0000
    assert own_front_door.study(ds.StudyInstanceUID).instances == 1
    assert len(own_front_door.files(ds.StudyInstanceUID)) == 1


def test_a_spool_that_fails_is_out_of_resources(own_front_door: FrontDoor) -> None:
    shutil.rmtree(own_front_door.folder / "spool" / "arriving")

    assert own_front_door.send(*ct_study(slices=2)) == [0xA700, 0xA700]


def test_an_instance_that_cannot_be_filed_now_is_filed_when_the_fault_is_over(own_front_door: FrontDoor) -> None:
    ds, instances = ct_study(slices=1)[0], own_front_door.folder / "spool" / "instances"
    instances.write_bytes(b"")  # a file where the folder should be
    association = own_front_door.associate()
    status = store(association, ds)
    instances.unlink()

    association.release()

    assert status.Status == 0x0000
    assert len(own_front_door.files(ds.StudyInstanceUID)) == own_front_door.study(ds.StudyInstanceUID).instances == 1


def test_an_instance_that_the_index_cannot_take_is_kept_and_indexed_at_the_next_start(tmp_path: Path) -> None:
    ds, neighbour = ct_study(slices=2)
    trigger = "CREATE TRIGGER defect BEFORE INSERT ON instances WHEN NEW.sop_instance_uid = '{}' BEGIN SELECT RAISE(ABORT, 'a defect'); END"
    with opened_front_door(tmp_path) as front_door, closing(sqlite3.connect(tmp_path / "node.db")) as other:
        other.execute(trigger.format(ds.SOPInstanceUID))
        other.commit()

        statuses = front_door.send(ds, neighbour)

        indexed_at_once = front_door.study(ds.StudyInstanceUID).instances
        other.execute("DROP TRIGGER defect")
        other.commit()
    with opened_front_door(tmp_path) as front_door:
        indexed_later = front_door.study(ds.StudyInstanceUID).instances
    assert (statuses, indexed_at_once, indexed_later) == ([0x0000, 0x0000], 1, 2)


def test_no_name_of_a_patient_is_logged_or_answered(front_door: FrontDoor, capfd: pytest.CaptureFixture[str]) -> None:
    ds = altered(ct_study(slices=1)[0], PatientName="Secret^Person", SeriesInstanceUID="Secret^Person")
    association = front_door.associate()

    status = store(association, ds)
    broken = store_bytes(association, encoded(ds)[:-9], CTImageStorage, ds.SOPInstanceUID)

    association.release()
    assert (status.Status, broken.Status) == (0xC010, 0xC000)
    captured = capfd.readouterr()
    assert "Secret" not in captured.out + captured.err + status.ErrorComment + broken.ErrorComment
    assert "instance.refused" in captured.out + captured.err


def _damaged() -> st.SearchStrategy[bytes]:
    """A data set with a stretch of it replaced."""
    whole = encoded(altered(ct_study(slices=1)[0], PixelData=bytes(64)))
    return st.builds(
        lambda start, length, junk: whole[:start] + junk + whole[start + length :],
        st.integers(0, len(whole)),
        st.integers(0, 40),
        st.binary(max_size=40),
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dataset=st.one_of(st.binary(max_size=300), _damaged()), syntax=st.sampled_from(SYNTAXES))
def test_any_bytes_get_an_answer_and_leave_nothing_outside_the_spool(
    front_door: FrontDoor, crowded: dict, dataset: bytes, syntax: str
) -> None:
    association = crowded[syntax]

    status = store_bytes(association, dataset, CTImageStorage, "1.2.3.4", (CTImageStorage, syntax))

    assert status.Status in {0x0000, *(row.code for row in STORE_STATUSES.values())} - {0xC0FF}
    assert association.is_established
    assert {path.name for path in front_door.folder.iterdir()} <= {"spool", "node.db", "node.db-wal", "node.db-shm"}
    assert {path.name for path in (front_door.folder / "spool").iterdir()} <= {"instances", "conflicts", "arriving"}


@pytest.fixture(scope="module")
def crowded(front_door: FrontDoor):
    """An open association for each transfer syntax."""
    associations = {syntax: front_door.associate((CTImageStorage, syntax)) for syntax in SYNTAXES}
    with ExitStack() as stack:
        for association in associations.values():
            stack.enter_context(paused(association))
        yield associations
    for association in associations.values():
        assert association.send_c_echo().Status == 0x0000
        association.release()
