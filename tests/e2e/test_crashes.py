"""kill -9 at every step of the way: what was acknowledged is never lost, and no result exists twice."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from cad_node.app.start import Store, open_store
from cad_node.deliver.cstore import CStore
from cad_node.demo.archive import AE_TITLE, Archive
from cad_node.lifecycle import DeliveryState, JobState
from cad_node.phantom import NODULES, phantom_study
from cad_node.settings import Destination, Settings, read_settings
from tests.e2e.dying import STEPS
from tests.e2e.ports import free_port
from tests.factory import save_study
from tests.shipped_models import copy_quick_models

pytestmark = pytest.mark.slow
LIMIT_S = 90.0


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    phantom = phantom_study(slices=50, spacing_mm=5.0, pixel_spacing_mm=1.0, size_px=360, nodules=NODULES[:2])
    return save_study(list(phantom.datasets), tmp_path_factory.mktemp("phantom"))


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_when(step: str, study: list[Path], tmp_path: Path, database_url: str):
    victim = STEPS[step][0]
    with Archive(tmp_path / "archive") as archive:
        config = write_config(tmp_path, database_url, archive.port)
        settings = read_settings(config)
        store = open_store(settings)
        with Node(config) as node:
            node.start(*{"scp", "worker", "sender"} - {victim})
            node.start_dying(step, victim)
            acknowledged = send_until_taken(study, settings, lambda: node.restart_if_dead(victim))
            wait_for(lambda: node.restart_if_dead(victim) and node.deaths and everything_settled(store), f"death and end: {step}")
            assert node.deaths == 1, f"the {victim} was to die once, when {step}"
        assert_nothing_lost_nothing_twice(acknowledged, store, archive)
        store.database.dispose()


def assert_nothing_lost_nothing_twice(acknowledged: list[Path], store: Store, archive: Archive) -> None:
    (study,) = store.studies.list(10)
    held = {i.sop_instance_uid: i for series in store.studies.load(study.study_instance_uid).series for i in series.instances}
    for path in acknowledged:
        sent = dcmread(path)
        kept = dcmread(held[sent.SOPInstanceUID].path)
        assert kept.PixelData == sent.PixelData
    (summary,) = store.jobs.list(None, 10)
    job = store.jobs.show(summary.id)
    assert summary.state == JobState.DONE
    assert [delivery.state for delivery in job.deliveries] == [DeliveryState.DELIVERED] * 2
    assert sorted(dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in archive.objects()) == sorted(
        delivery.sop_instance_uid for delivery in job.deliveries
    )
    for result in job.results:  # the row and the file are one and the same, also of what would have gone instead
        assert hashlib.sha256(result.path.read_bytes()).hexdigest() == result.sha256
    assert archive.contradictions == []


class Node:
    """The node's processes, one by one, so that a chosen one can be killed."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.deaths = 0

    def __enter__(self) -> "Node":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait(60)

    def start(self, *verbs: str) -> None:
        for verb in verbs:
            self._spawn(verb, [sys.executable, "-m", "cad_node.cli", "--config", str(self._config), verb])

    def start_dying(self, step: str, verb: str) -> None:
        self._spawn(verb, [sys.executable, "-m", "tests.e2e.dying", step, str(self._config), verb])

    def restart_if_dead(self, verb: str) -> bool:
        code = self._running[verb].poll()
        if code is not None:
            assert code == -9, f"{verb} ended with {code}; see {self._config.parent / verb}.log"
            self.deaths += 1
            self.start(verb)
        return True

    def _spawn(self, verb: str, command: list[str]) -> None:
        with (self._config.parent / f"{verb}.log").open("ab") as log:
            self._running[verb] = subprocess.Popen(command, stdout=log, stderr=log)


def send_until_taken(study: list[Path], settings: Settings, between: Callable[[], object]) -> list[Path]:
    """What a modality does: send what wasn't acknowledged again, until all is."""
    to = Destination(ae_title="CAD_NODE", host="127.0.0.1", port=settings.scp.port)
    acknowledged: list[Path] = []

    def all_taken() -> bool:
        between()
        waiting = [path for path in study if path not in acknowledged]
        outcomes = CStore(to, "MODALITY", 20).send(waiting)
        acknowledged.extend(path for path, outcome in zip(waiting, outcomes, strict=True) if outcome.delivered)
        return len(acknowledged) == len(study)

    wait_for(all_taken, "all instances to be acknowledged")
    return acknowledged


def everything_settled(store: Store) -> bool:
    jobs = store.jobs.list(None, 10)
    return bool(jobs) and all(job.state == JobState.DONE for job in jobs) and not store.deliveries.pending()


def wait_for(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline, f"waited {LIMIT_S:.0f} s for {what}"
        time.sleep(0.2)


def write_config(folder: Path, database_url: str, archive_port: int) -> Path:
    config = folder / "cad_node.toml"
    config.write_text(
        f"""
[node]
data_dir = "{folder / "data"}"
[database]
url = "{database_url}"
[scp]
host = "127.0.0.1"
port = {free_port()}
min_free_mb = 1
[completeness]
quiet_s = 30
association_end_s = 1
[worker]
threads = 1
[models]
dir = "{copy_quick_models(folder / "models")}"
[queue]
lease_s = 3
poll_s = 0.1
backoff_first_s = 0.2
[sender]
backoff_first_s = 0.2
[destinations.archive]
ae_title = "{AE_TITLE}"
host = "127.0.0.1"
port = {archive_port}
"""
    )
    return config
