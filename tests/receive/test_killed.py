import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from cad_node.store.database import Database
from cad_node.store.studies import Studies
from tests.factory import ct_study
from tests.receive.front_door import after_meta, associate, encoded, store

ASSOCIATIONS = 3


@pytest.mark.parametrize("acknowledged_before", [1, 7])
def test_whatever_was_acknowledged_before_a_kill_is_whole_and_indexed(tmp_path: Path, acknowledged_before: int) -> None:
    studies = [ct_study(voxels=np.full((200, 64, 64), 40, np.int16)) for _ in range(ASSOCIATIONS)]
    with _listening(tmp_path) as (process, port), ThreadPoolExecutor(ASSOCIATIONS) as senders:
        enough = threading.Barrier(ASSOCIATIONS + 1)
        sending = [senders.submit(_send_until_it_breaks, port, study, acknowledged_before, enough) for study in studies]
        enough.wait(timeout=30)
        process.kill()
        acknowledged = [ds for future in sending for ds in future.result(timeout=60)]

    with _listening(tmp_path):  # the next process indexes what the killed one had only stored
        indexed = _indexed(tmp_path, studies)
    assert ASSOCIATIONS * acknowledged_before <= len(acknowledged) < ASSOCIATIONS * 200
    for ds in acknowledged:
        assert after_meta(indexed[ds.SOPInstanceUID]) == encoded(ds)
    for path in (tmp_path / "spool" / "instances").rglob("*.dcm"):
        assert dcmread(path).PixelData  # acknowledged or not: whole


def test_a_sender_that_starts_again_after_a_kill_ends_with_each_instance_once(tmp_path: Path) -> None:
    study = ct_study(slices=30)
    with _listening(tmp_path) as (process, port):
        started = threading.Barrier(2)
        with ThreadPoolExecutor(1) as sender:
            sending = sender.submit(_send_until_it_breaks, port, study, 5, started)
            started.wait(timeout=30)
            process.kill()
            sending.result(timeout=60)

    with _listening(tmp_path) as (_, port):
        again = _send_until_it_breaks(port, study, 0, None)

    assert len(again) == 30
    assert set(_indexed(tmp_path, [study])) == {ds.SOPInstanceUID for ds in study}
    assert len(list((tmp_path / "spool" / "instances").rglob("*.dcm"))) == 30


@contextmanager
def _listening(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen([sys.executable, "-m", "tests.receive.listening_process", str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, next(int(line) for line in process.stdout if line.strip().isdigit())
    finally:
        process.kill()
        process.communicate()


def _send_until_it_breaks(port: int, study: list[Dataset], enough: int, barrier: threading.Barrier | None) -> list[Dataset]:
    """Send one after the other; returns what was acknowledged. Meets the others at `barrier` once `enough` were."""
    association = associate(port)
    acknowledged: list[Dataset] = []
    for ds in study:
        try:
            status = store(association, ds)
        except (ConnectionError, OSError, TimeoutError):
            break
        assert status.Status == 0x0000
        acknowledged.append(ds)
        if barrier and len(acknowledged) == enough:
            barrier.wait(timeout=30)
    association.abort()
    return acknowledged


def _indexed(folder: Path, studies: list[list[Dataset]]) -> dict[str, Path]:
    """SOP Instance UID -> file, as the index has it."""
    database = Database(f"sqlite:///{folder / 'node.db'}")
    loaded = [Studies(database).load(study[0].StudyInstanceUID) for study in studies]
    database.dispose()
    return {i.sop_instance_uid: i.path for study in loaded for series in study.series for i in series.instances}
