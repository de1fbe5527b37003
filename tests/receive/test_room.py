"""The door of a node whose disk fills: it refuses for now before there is no space left, and opens again by itself."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from cad_node.store.room import Room
from tests.factory import ct_study
from tests.receive.front_door import ECHO, opened_front_door, store
from tests.receive.small_disk import fill, small_disk

LOOKED_AGAIN_S = 0.3
REFUSED = (2, 3, 1)  # transient, provider (presentation), temporary congestion: PS3.8 Table 9-21


def test_without_room_who_asks_to_store_is_sent_away_for_now_and_others_are_served(tmp_path: Path) -> None:
    more_than_there_is = shutil.disk_usage(tmp_path).total // 1_000_000 + 1

    with opened_front_door(tmp_path / "node", min_free_mb=more_than_there_is) as full:
        sender = full.associate((CTImageStorage, ExplicitVRLittleEndian))
        answer = sender.acceptor.primitive
        asking = AE("MODALITY")
        asking.add_requested_context(ECHO)
        association = asking.associate("127.0.0.1", full.port)
        echo = association.send_c_echo()
        association.release()

    assert (answer.result, answer.result_source, answer.diagnostic) == REFUSED
    assert echo.Status == 0x0000


def test_a_disk_that_fills_takes_what_fits_above_the_floor_and_is_used_again_once_there_is_room(tmp_path: Path) -> None:
    instances = ct_study(voxels=np.full((40, 256, 256), 40, np.int16))  # 131 KB each
    with small_disk(tmp_path / "node", 16) as folder, opened_front_door(folder, min_free_mb=2) as door:
        association = door.associate()
        filler = fill(folder, leave_mb=4)
        time.sleep(LOOKED_AGAIN_S)
        first = [store(association, ds).Status for ds in instances]
        free = shutil.disk_usage(folder).free
        rejected = door.associate().is_rejected
        filler.unlink()
        time.sleep(LOOKED_AGAIN_S)
        again = [store(association, ds).Status for ds in instances]
        admitted = door.associate()
        admitted.release()
        association.release()
        found = len(door.files(instances[0].StudyInstanceUID))

    assert set(first) == {0x0000, 0xA700}
    assert first == sorted(first)  # the one status, then the other
    assert free >= 1.8e6  # the index's row and the folders aren't counted
    assert rejected
    assert set(again) == {0x0000}
    assert admitted.is_released
    assert found == len(instances)


@pytest.mark.parametrize(("floor_mb", "asked_mb", "has_room"), [(0, 0, True), (0, 1, True), (2, 0, True), (2, 3, False), (9, 0, False)])
def test_room_is_what_stays_free_above_the_floor(tmp_path: Path, floor_mb: int, asked_mb: int, has_room: bool) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        assert Room(disk, floor_mb * 10**6).has_room(asked_mb * 10**6) is has_room


def test_what_is_taken_between_two_looks_is_counted(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        room = Room(disk, 2 * 10**6)

        answers = [room.has_room(10**6) for _ in range(8)]

    assert answers == [True] * 6 + [False] * 2
