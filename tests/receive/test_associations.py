import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from cad_node.store.study_values import SeriesEvidence
from tests.factory import altered, ct_study
from tests.receive.front_door import FrontDoor, associate, opened_front_door, store, utc_now, wait_until


@pytest.mark.parametrize("associations", [2, 8])
def test_associations_at_once_lose_nothing(front_door: FrontDoor, associations: int) -> None:
    studies = [ct_study(slices=4) for _ in range(associations)]

    with ThreadPoolExecutor(associations) as senders:
        statuses = list(senders.map(lambda study: front_door.send(*study), studies))

    assert statuses == [[0x0000] * 4] * associations
    for first, *_ in studies:
        assert len(front_door.files(first.StudyInstanceUID)) == 4
        assert (front_door.study(first.StudyInstanceUID).instances, front_door.study(first.StudyInstanceUID).revision) == (4, 1)


def test_one_study_over_several_associations_is_one_study(front_door: FrontDoor) -> None:
    study = ct_study(slices=8)

    with ThreadPoolExecutor(4) as senders:
        statuses = list(senders.map(lambda start: front_door.send(*study[start::4]), range(4)))

    assert statuses == [[0x0000] * 2] * 4
    summary = front_door.study(study[0].StudyInstanceUID)
    assert (summary.series, summary.instances, summary.revision) == (1, 8, 1)


def test_the_same_instance_over_associations_at_once_is_one_instance(front_door: FrontDoor) -> None:
    ds = ct_study(slices=1)[0]

    with ThreadPoolExecutor(4) as senders:
        statuses = list(senders.map(lambda _: front_door.send(ds), range(4)))

    assert statuses == [[0x0000]] * 4
    assert (front_door.study(ds.StudyInstanceUID).instances, front_door.study(ds.StudyInstanceUID).conflicts) == (1, 0)


def test_two_contents_of_one_uid_at_once_make_one_instance_and_one_conflict(front_door: FrontDoor) -> None:
    ds = ct_study(slices=1)[0]
    contents = [ds, altered(ds, PixelData=bytes(len(ds.PixelData)))]

    with ThreadPoolExecutor(2) as senders:
        statuses = list(senders.map(lambda content: front_door.send(content)[0], contents))

    assert sorted(statuses) == [0x0000, 0xC020]
    assert (front_door.study(ds.StudyInstanceUID).instances, front_door.study(ds.StudyInstanceUID).conflicts) == (1, 1)


def _abort(association) -> None:
    association.abort()


def _lose(association) -> None:
    association.dul.socket.socket.shutdown(socket.SHUT_RDWR)


def test_the_end_of_an_association_is_noted_for_its_series(front_door: FrontDoor) -> None:
    brought, other = ct_study(slices=1)[0], ct_study(slices=1)[0]
    association, open_one = front_door.associate(), front_door.associate()
    store(open_one, other)
    store(association, brought)
    wait_until(lambda: _evidence(front_door, brought))
    before = _ended_at(front_door, brought)

    association.release()

    wait_until(lambda: _ended_at(front_door, brought) is not None)
    assert before is None
    assert abs(_ended_at(front_door, brought) - utc_now()) < timedelta(seconds=10)
    assert _ended_at(front_door, other) is None
    open_one.release()


@pytest.mark.parametrize("end", [_abort, _lose])
def test_an_association_that_is_aborted_or_lost_is_no_evidence_that_its_series_is_whole(front_door: FrontDoor, end) -> None:
    ds = ct_study(slices=1)[0]
    association = front_door.associate()
    store(association, ds)

    end(association)

    wait_until(lambda: not front_door.scp.open_associations())
    assert _evidence(front_door, ds)
    assert _ended_at(front_door, ds) is None


def test_a_series_ends_while_the_association_of_another_is_open(front_door: FrontDoor) -> None:
    first, other = ct_study(slices=2)
    other = altered(other, SeriesInstanceUID=generate_uid())
    short, long = front_door.associate(), front_door.associate()
    store(long, other)
    store(short, first)

    short.release()

    wait_until(lambda: _ended_at(front_door, first) is not None)
    assert _ended_at(front_door, other) is None
    long.release()


def test_a_series_that_another_association_still_brings_has_not_ended(front_door: FrontDoor) -> None:
    first, second, third = ct_study(slices=3)
    short, long = front_door.associate(), front_door.associate()
    store(long, first)
    store(short, second)

    short.release()
    wait_until(lambda: len(front_door.scp.open_associations()) == 1)
    while_open = _ended_at(front_door, first)
    store(long, third)
    long.release()

    wait_until(lambda: _ended_at(front_door, first) is not None)
    assert while_open is None


def test_one_association_too_many_is_rejected_for_now(tmp_path: Path) -> None:
    with opened_front_door(tmp_path / "node", max_associations=2) as small:
        kept = [small.associate(), small.associate()]

        rejected = small.associate()

        answer = rejected.acceptor.primitive
        assert (rejected.is_rejected, answer.result, answer.result_source, answer.diagnostic) == (True, 2, 3, 2)  # PS3.8 Table 9-21
        assert [association.send_c_echo().Status for association in kept] == [0x0000, 0x0000]
        for association in kept:
            association.release()


def test_rejections_are_logged_once_until_there_is_room_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened_front_door(tmp_path / "node", max_associations=1) as small:
        kept = small.associate()
        rejected = [small.associate(calling_ae_title="IMPATIENT").is_rejected for _ in range(3)]
        logged_while_full = capsys.readouterr().out
        kept.release()
        wait_until(lambda: not small.scp.open_associations())

        again = small.associate()
        small.associate(calling_ae_title="ANOTHER")

        again.release()
    assert rejected == [True, True, True]
    assert logged_while_full.count("association.rejected") == 1
    assert "IMPATIENT" in logged_while_full
    assert "ANOTHER" in capsys.readouterr().out


def test_a_silent_association_is_aborted(tmp_path: Path) -> None:
    with opened_front_door(tmp_path / "node", network_timeout_s=1) as impatient:
        association = impatient.associate()

        wait_until(lambda: association.is_aborted)

        assert not association.is_established


def test_stopping_lets_an_open_association_finish(tmp_path: Path) -> None:
    study = ct_study(slices=6)
    with opened_front_door(tmp_path / "node") as closing:
        association = closing.associate()
        statuses = [store(association, study[0]).Status]
        stopping = threading.Thread(target=closing.scp.stop, kwargs={"grace_s": 10})

        stopping.start()
        wait_until(lambda: not associate(closing.port).is_established)
        statuses += [store(association, ds).Status for ds in study[1:]]
        association.release()
        stopping.join(timeout=10)

        assert statuses == [0x0000] * 6
        assert not stopping.is_alive()


def test_stopping_aborts_what_stays_open(tmp_path: Path) -> None:
    with opened_front_door(tmp_path / "node") as closing:
        association = closing.associate()

        closing.scp.stop(grace_s=0.1)

        wait_until(lambda: association.is_aborted)
        assert not closing.scp.open_associations()


def _ended_at(front_door: FrontDoor, ds: Dataset):
    return next((one.association_ended_at for one in _evidence(front_door, ds)), None)


def _evidence(front_door: FrontDoor, ds: Dataset) -> list[SeriesEvidence]:
    """Of the instance's series, once it is indexed."""
    return [one for study in front_door.studies.receiving() for one in study.series if one.series_instance_uid == ds.SeriesInstanceUID]
