"""Orthanc and the node ask each other whether they keep what was sent, and each is told by the other."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from pydicom.uid import CTImageStorage, generate_uid

from cad_node.app.sender import ways_of_confirmation
from cad_node.commitment import Reference
from cad_node.confirmation import Located
from cad_node.lifecycle import DeliveryState
from cad_node.settings import read_settings
from cad_node.store.database import Database
from cad_node.store.deliveries import Deliveries
from cad_node.store.jobs import Jobs
from tests.cli.processes import running
from tests.confirmable import queue_confirmable
from tests.e2e.orthanc import AE_TITLE, MISSING, Orthanc
from tests.e2e.ports import free_port
from tests.factory import ct_study, save_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: Debian's {MISSING}"),
]


class Pacs(NamedTuple):
    orthanc: Orthanc
    http_port: int
    node_port: int


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    http_port, node_port = free_port(), free_port()
    with Orthanc(tmp_path_factory.mktemp("orthanc"), http_port, free_port(), node_port) as orthanc:
        yield Pacs(orthanc, http_port, node_port)


@contextmanager
def node(pacs: Pacs, folder: Path, confirm: str, database_url: str = "") -> Iterator[None]:
    """The receiving and the sending process of a node that delivers to Orthanc."""
    (folder / "models").mkdir()
    configs = [folder / name / "node.toml" for name in ("scp", "sender")]
    for config in configs:
        config.parent.mkdir()
        config.write_text(CONFIG.format(folder=folder, database_url=database_url, pacs=pacs, confirm=confirm, AE_TITLE=AE_TITLE))
    with running(configs[0], "scp") as scp:
        scp.wait_for("scp.listening")  # Orthanc reports once: somebody has to be there
        with running(configs[1], "sender"):
            yield


CONFIG = """\
[node]
data_dir = "{folder}/node"
[database]
url = "{database_url}"
[scp]
host = "127.0.0.1"
port = {pacs.node_port}
min_free_mb = 1
[models]
dir = "{folder}/models"
[queue]
poll_s = 0.1
[sender]
backoff_first_s = 0.5
[destinations.pacs]
ae_title = "{AE_TITLE}"
host = "127.0.0.1"
port = {pacs.orthanc.dicom_port}
confirm = "{confirm}"
qido_url = "http://127.0.0.1:{pacs.http_port}/dicom-web"
"""


def wait_for(holds: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def test_what_orthanc_says_it_keeps_is_committed(pacs: Pacs, database: Database, database_url: str, tmp_path: Path):
    queue_confirmable(database, tmp_path / "results", "pacs")

    with node(pacs, tmp_path, "commitment", database_url):
        wait_for(lambda: {row.state for row in Deliveries(database).list()} == {DeliveryState.COMMITTED})

    (job,) = Jobs(database).list()
    moves = [(event.event, event.to_state) for event in Jobs(database).show(job.id).events if event.delivery_id == 1]
    assert moves[:3] == [("claim", "sending"), ("accept", "unconfirmed"), ("ask", "unconfirmed")]
    assert moves[-1] == ("commit", "committed")


@pytest.mark.parametrize("confirm", ["commitment", "find", "qido"])
def test_orthanc_says_that_it_holds_what_was_uploaded_and_not_what_was_not(pacs: Pacs, tmp_path: Path, confirm: str):
    *uploaded, kept_back = ct_study(slices=3)
    pacs.orthanc.upload(save_study(uploaded, tmp_path))
    config = tmp_path / "node.toml"
    config.write_text(CONFIG.format(folder=tmp_path, database_url="", pacs=pacs, confirm=confirm, AE_TITLE=AE_TITLE))
    references = [Reference(ds.SOPClassUID, ds.SOPInstanceUID) for ds in (*uploaded, kept_back)]
    asked = [Located(kept_back.StudyInstanceUID, kept_back.SeriesInstanceUID, reference) for reference in references]

    answer = ways_of_confirmation(read_settings(config))["pacs"].ask(generate_uid(), asked)

    by_report = confirm == "commitment"  # which Orthanc makes on an association of its own
    assert answer.committed == (set() if by_report else set(references[:2]))
    assert (answer.reports_later, dict(answer.failed)) == (by_report, {})


def test_orthanc_is_told_what_the_node_keeps_and_what_it_does_not(pacs: Pacs, tmp_path: Path):
    datasets = ct_study(slices=3)
    study = pacs.orthanc.upload(save_study(datasets, tmp_path / "ct"))
    sent = [[ds.SOPClassUID, ds.SOPInstanceUID] for ds in datasets]
    never_sent = [CTImageStorage, generate_uid()]

    with node(pacs, tmp_path, "none"):
        pacs.orthanc.post("/modalities/cad_node/store", study.encode())
        all_sent = ask_the_node(pacs.orthanc, sent)
        one_never_sent = ask_the_node(pacs.orthanc, [*sent, never_sent])

    assert (all_sent["Status"], len(all_sent["Success"]), all_sent["Failures"]) == ("Success", 3, [])
    assert (one_never_sent["Status"], len(one_never_sent["Success"])) == ("Failure", 3)
    assert [(failure["SOPInstanceUID"], failure["FailureReason"]) for failure in one_never_sent["Failures"]] == [(never_sent[1], 0x0112)]


def ask_the_node(orthanc: Orthanc, instances: list[list[str]]) -> dict:
    """Orthanc's own account of a request for storage commitment, once it was answered."""
    path = orthanc.post("/modalities/cad_node/storage-commitment", json.dumps({"DicomInstances": instances}).encode())["Path"]
    wait_for(lambda: orthanc.get(path)["Status"] != "Pending")
    return orthanc.get(path)
