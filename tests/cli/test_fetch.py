"""fetch: what a person sees of a study on its way, and how the command ends."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom import evt

from cad_node.app.start import Store, open_store
from cad_node.settings import read_settings
from tests.cli.conftest import CadNode
from tests.cli.processes import running
from tests.deliver.peers import only, pacs
from tests.e2e.orthanc import AE_TITLE, MISSING, Orthanc
from tests.e2e.ports import free_port
from tests.factory import ct_study, save_study
from tests.query.archive import archive


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    if MISSING:
        pytest.skip(f"not installed: Debian's {MISSING}")
    folder = tmp_path_factory.mktemp("orthanc")
    with Orthanc(folder, free_port(), free_port(), free_port()) as running_orthanc:
        yield running_orthanc


def name_source(config: Path, ae_title: str, port: int, retrieve: str = "get") -> None:
    with config.open("a") as file:
        file.write(f'[sources.pacs]\nae_title = "{ae_title}"\nhost = "127.0.0.1"\nport = {port}\nretrieve = "{retrieve}"\n')


def with_study(orthanc: Orthanc, folder: Path) -> str:
    study = ct_study(slices=3)
    orthanc.upload(save_study(study, folder / "study"))
    return str(study[0].StudyInstanceUID)


def test_a_study_is_fetched_and_the_table_says_so(cad_node: CadNode, store: Store, config: Path, orthanc: Orthanc, tmp_path: Path):
    uid = with_study(orthanc, tmp_path)
    name_source(config, AE_TITLE, orthanc.dicom_port)

    ended = cad_node("fetch", uid, "--from", "pacs")
    again = cad_node("fetch", uid, "--from", "pacs", "--missing")

    assert (ended.status, again.status) == (0, 0), ended.err + again.err
    assert "fetched from pacs" in ended.out
    assert ended.out.split()[-4:] == ["3", "3", "3", "complete"]
    assert "nothing is missing" in again.out
    assert [study.instances for study in store.studies.list()] == [3]


def test_with_json_every_field_is_told_in_full(cad_node: CadNode, store: Store, config: Path, orthanc: Orthanc, tmp_path: Path):
    uid = with_study(orthanc, tmp_path)
    name_source(config, AE_TITLE, orthanc.dicom_port)

    (fetched,) = cad_node("fetch", uid, "--from", "pacs", "--json").document

    assert (fetched["study"]["study_instance_uid"], fetched["study"]["study_date"]) == (uid, "20260102")
    assert (fetched["asked"], fetched["arrived"], fetched["is_complete"], fetched["trouble"]) == (3, 3, True, "")


def test_a_study_that_did_not_come_ends_with_1_and_says_why(cad_node: CadNode, store: Store, orthanc: Orthanc, tmp_path: Path):
    uid = with_study(orthanc, tmp_path)

    ended = cad_node("fetch", uid, "--from", f"{AE_TITLE}@127.0.0.1:{orthanc.dicom_port}")  # by C-MOVE, and no node listens

    assert ended.status == 1
    assert "0x" in ended.out


def test_a_study_that_the_pacs_does_not_have_ends_with_1_and_a_line(cad_node: CadNode, store: Store, orthanc: Orthanc):
    ended = cad_node("fetch", "1.2.3", "--from", f"{AE_TITLE}@127.0.0.1:{orthanc.dicom_port}")

    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "has no study 1.2.3" in ended.err


def test_a_source_that_is_not_configured_is_wrong_usage(cad_node: CadNode, store: Store, config: Path):
    name_source(config, "PACS", 104)

    ended = cad_node("fetch", "1.2.3", "--from", "elsewhere")

    assert ended.status == 2
    assert "name a source (pacs)" in " ".join(ended.err.replace("│", " ").split())


def test_interrupted_it_cancels_at_the_pacs_and_ends_with_130(config: Path):
    moving = threading.Event()
    open_store(read_settings(config)).database.dispose()

    def move(event: evt.Event) -> Iterator[object]:
        yield node.host, node.port, {"contexts": only(CTImageStorage)}
        yield 1
        moving.set()
        while not event.is_cancelled:
            time.sleep(0.01)
        yield 0xFE00, None

    with pacs(lambda _: 0x0000) as node, archive((evt.EVT_C_FIND, found), (evt.EVT_C_MOVE, move)) as peer:
        name_source(config, "PACS", peer.port, "move")
        with running(config, "fetch", "1.2", "--from", "pacs") as process:
            assert moving.wait(60), process.log
            process.popen.send_signal(signal.SIGINT)
            status = process.popen.wait(60)

    assert status == 130
    assert "cancelling at the PACS" in process.log
    assert "0xFE00: cancelled" in process.log


def found(event: evt.Event) -> Iterator[tuple[int, Dataset]]:
    """Answers every query with one instance and what it belongs to."""
    ds = Dataset()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = "1.2", "1.2.1", "1.2.1.1"
    yield 0xFF00, ds
