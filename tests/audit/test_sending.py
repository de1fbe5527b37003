"""What the sender, and the removal of old files, leave in the audit trail."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cad_node.audit.reading import records_after
from cad_node.audit.summary import summary
from cad_node.audit.trail import Trail
from cad_node.deliver.transport import Outcome
from cad_node.sender import Sender
from cad_node.settings import Settings
from cad_node.store.deliveries import Deliveries
from tests.store import arrivals
from tests.store.test_removals import DAY_S, Node
from tests.test_sender import queue_deliveries

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the rows are other tests' matter

PACS = {"ae_title": "PACS", "host": "pacs.example.org", "port": 104}


class Answers:
    """A transport that answers as the test says."""

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = outcomes

    def send(self, files: Sequence[Path]) -> Iterator[Outcome]:
        yield from self._outcomes[: len(files)]


def send(database, trail: Trail, *outcomes: Outcome, to: Mapping[str, object] = PACS) -> None:
    transports = {"pacs": Answers(*outcomes)}
    settings = Settings(destinations={"pacs": to})
    Sender(settings, Deliveries(database), transports, lambda: arrivals.NOW, random.Random(1), "sender/1", trail).send_due("pacs")


def test_what_a_destination_took_is_told_once_for_the_study(database, trail: Trail, folder: Path, tmp_path: Path):
    queue_deliveries(database, tmp_path, "pacs")

    send(database, trail, Outcome.success(), Outcome.success())

    (row,) = [summary(record) for _, record in records_after(folder)]
    assert (row.event, row.outcome, row.peer, row.peer_host) == ("DICOM Instances Transferred", "success", "PACS", "pacs.example.org")
    assert (row.object_id, row.instances) == ("1.2.1", 2)


@pytest.mark.parametrize(
    ("to", "peer", "host"),
    [
        ({"transport": "stow", "url": "https://pacs.example.org/dicom-web"}, "https://pacs.example.org/dicom-web", "pacs.example.org"),
        ({"transport": "folder", "path": "/share"}, "folder /share", ""),
        ({"transport": "s3", "bucket": "results", "endpoint_url": "https://s3.example.org"}, "s3://results", "s3.example.org"),
    ],
)
def test_it_is_told_whatever_the_transport(database, trail: Trail, folder: Path, tmp_path: Path, *, to, peer, host):
    queue_deliveries(database, tmp_path, "pacs")

    send(database, trail, Outcome.success(), Outcome.success(), to=to)

    (row,) = [summary(record) for _, record in records_after(folder)]
    assert (row.outcome, row.peer, row.peer_host, row.instances) == ("success", peer, host, 2)


def test_what_it_did_not_take_is_a_failure_with_its_reason_beside_what_it_took(database, trail: Trail, folder: Path, tmp_path: Path):
    queue_deliveries(database, tmp_path, "pacs")

    send(database, trail, Outcome.success(), Outcome(False, True, "0xA700 out of resources"))

    rows = [summary(record) for _, record in records_after(folder)]
    assert [(row.outcome, row.instances, row.description) for row in rows] == [
        ("success", 1, ""),
        ("minor failure", 1, "0xA700 out of resources"),
    ]


def test_what_is_removed_for_its_age_is_told(database, trail: Trail, folder: Path, tmp_path: Path):
    node = Node(database, tmp_path / "node")
    node.folder.mkdir()
    node.settled("1.2.7")
    node.finish()
    node.deliver()

    replace(node.remover(at_s=100 * DAY_S), trail=trail).remove_due()

    rows = [summary(record) for _, record in records_after(folder)]
    assert sorted((row.event, row.object_id, row.instances) for row in rows) == [
        ("DICOM Instances Accessed", "1.2.7", 2),  # deleted: its results
        ("DICOM Study Deleted", "1.2.7", 1),
    ]
