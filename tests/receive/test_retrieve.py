"""C-GET and C-MOVE of the node's own results: what comes, and what is said of what doesn't."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, SegmentationStorage
from pynetdicom import build_role, evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import PatientRootQueryRetrieveInformationModelGet, Verification

from cad_node.query.association import associated
from cad_node.query.find import identifier_of
from cad_node.query.retrieve import Request, SubOperations, get, move
from cad_node.receive.query import Query
from cad_node.settings import Destination
from cad_node.store.database import Database
from cad_node.store.held import Held
from tests.deliver.peers import only, pacs, unused_port
from tests.e2e.orthanc import AE_TITLE, MISSING, Orthanc
from tests.e2e.ports import free_port
from tests.interop.tools import run, tool
from tests.query.archive import peer_at
from tests.receive.front_door import FrontDoor, opened_front_door
from tests.receive.made_results import make_results

both_ways = pytest.mark.parametrize("node", ["fast", "plain"], indirect=True)  # of serving an association
STORAGE = [build_context(uid, [ExplicitVRLittleEndian]) for uid in (SegmentationStorage, ComprehensiveSRStorage)]
ROLES = [build_role(context.abstract_syntax, scp_role=True) for context in STORAGE]  # PS3.7 D.3.3.4
SEG, SR = "1.2.1.8.1", "1.2.1.8.2"
STUDY = {"StudyInstanceUID": "1.2.1"}
SERIES = {**STUDY, "SeriesInstanceUID": "1.2.1.7.1"}


@dataclass(slots=True)
class Pulled:
    """Takes C-STOREs, but those of `refused`."""

    refused: tuple[str, ...] = ()
    datasets: list[Dataset] = field(default_factory=list)

    def __call__(self, event: evt.Event) -> int:
        if event.request.AffectedSOPInstanceUID in self.refused:
            return 0xA700
        self.datasets.append(event.dataset)
        return 0x0000

    @property
    def uids(self) -> list[str]:
        return sorted(ds.SOPInstanceUID for ds in self.datasets)


@dataclass(frozen=True, slots=True)
class Node:
    door: FrontDoor
    made: list[Dataset]
    folder: Path
    destinations: dict[str, Destination]

    def get(self, level: str = "STUDY", store: Callable[[evt.Event], int] | None = None, stop=None, **keys: object) -> SubOperations:
        request = Request(level, keys or STUDY, 0)
        handlers = [(evt.EVT_C_STORE, store or Pulled())]
        stop = stop or threading.Event()
        peer = peer_at(self.door.port, "CAD_NODE")
        return get(peer, request, storage=STORAGE, handlers=handlers, watch=lambda _: None, stop=stop)

    def move(self, to: str, level: str = "STUDY", **keys: object) -> SubOperations:
        peer = peer_at(self.door.port, "CAD_NODE")
        return move(peer, Request(level, keys or STUDY, 0), to, lambda _: None, threading.Event())


@contextmanager
def opened_node(folder: Path, *, fast: bool = True) -> Iterator[Node]:
    """Two studies of two results each; no destination."""
    destinations: dict[str, Destination] = {}

    def services(database: Database) -> list[Query]:
        return [Query(Held(database), destinations, "CAD_NODE")]

    with opened_front_door(folder / "node", fast=fast, services=services) as door:
        made = make_results(door.database, folder / "results", "1.2.1", PatientName="Müller^Jörg")
        make_results(door.database, folder / "results", "1.2.2", PatientID="P-2")
        yield Node(door, made, folder / "results", destinations)


@pytest.fixture(scope="module")
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with opened_node(tmp_path_factory.mktemp("retrieve"), fast=getattr(request, "param", "fast") == "fast") as opened:
        yield opened


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[Node]:
    """For a test that harms its files."""
    with opened_node(tmp_path) as opened:
        yield opened


@both_ways
def test_a_study_comes_whole_and_unchanged(node: Node):
    pulled = Pulled()

    count = node.get(store=pulled)

    assert (count.status, count.completed, count.failed) == (0x0000, 2, 0)
    assert sorted(pulled.datasets, key=lambda ds: ds.SOPInstanceUID) == node.made


@pytest.mark.parametrize(
    ("level", "keys", "expected"),
    [
        ("STUDY", {"StudyInstanceUID": ["1.2.1", "1.2.2"]}, 4),
        ("SERIES", SERIES, 1),
        ("IMAGE", {**SERIES, "SOPInstanceUID": [SEG, SR]}, 1),
        ("STUDY", {"StudyInstanceUID": "1.2.9"}, 0),
    ],
)
def test_as_much_comes_as_is_asked_for(node: Node, level: str, keys: dict, expected: int):
    pulled = Pulled()

    count = node.get(level, pulled, **keys)

    assert (count.status, count.completed, len(pulled.datasets)) == (0x0000, expected, expected)


@pytest.mark.parametrize(("roles", "status", "expected"), [(ROLES, 0x0000, ["1.2.2.8.1", "1.2.2.8.2"]), ([], 0xA702, [])])
def test_a_patients_results_come_in_the_patient_root_model_to_who_selects_the_role(node: Node, roles, status: int, expected: list[str]):
    pulled, model = Pulled(), PatientRootQueryRetrieveInformationModelGet
    peer, contexts, handlers = peer_at(node.door.port, "CAD_NODE"), [build_context(model), *STORAGE], [(evt.EVT_C_STORE, pulled)]

    with associated(peer, contexts, handlers, ext_neg=roles) as association:
        answers = list(association.send_c_get(identifier_of("PATIENT", {"PatientID": "P-2"}), model))

    assert (answers[-1][0].Status, pulled.uids) == (status, expected)


@both_ways
def test_an_instance_that_is_refused_is_counted_and_named(node: Node):
    count = node.get(store=Pulled(refused=(SEG,)))

    assert (count.status, count.completed, count.failed, count.failed_uids) == (0xB000, 1, 1, (SEG,))


def test_a_file_that_cannot_be_read_is_a_failed_sub_operation(own_node: Node):
    (own_node.folder / f"{SR}.dcm").write_bytes(b"not DICOM")

    count = own_node.get()

    assert (count.status, count.completed, count.failed_uids) == (0xB000, 1, (SR,))


def test_a_study_of_which_nothing_can_be_sent_is_a_failure(own_node: Node):
    for uid in (SEG, SR):
        (own_node.folder / f"{uid}.dcm").unlink()

    count = own_node.get()

    assert (count.status, count.failed, set(count.failed_uids)) == (0xA702, 2, {SEG, SR})


@both_ways
def test_a_retrieve_is_cancelled_between_two_instances(node: Node):
    stop = threading.Event()

    def cancel(_event: evt.Event) -> int:
        stop.set()
        time.sleep(0.4)  # the request to cancel goes out before the answer
        return 0x0000

    count = node.get(store=cancel, stop=stop)

    assert (count.status, count.completed, count.remaining) == (0xFE00, 1, 1)


def test_an_identifier_that_does_not_fit_is_refused(node: Node):
    with pacs(Pulled(), [build_context(Verification)]) as there:
        node.destinations["there"] = there

        answers = [
            node.get("SERIES"),
            node.get("PATIENT", PatientID="P-1"),
            node.get("IMAGE", **SERIES),
            node.move("PACS", "IMAGE", **SERIES),
        ]

    assert [answer.status for answer in answers] == [0xA900] * 4


@both_ways
def test_a_study_is_moved_to_a_destination(node: Node):
    pulled = Pulled()
    with pacs(pulled) as there:
        node.destinations["there"] = there

        count = node.move("PACS")

    assert (count.status, count.completed, count.failed) == (0x0000, 2, 0)
    assert sorted(pulled.datasets, key=lambda ds: ds.SOPInstanceUID) == node.made


def test_what_the_destination_does_not_take_is_named(node: Node):
    pulled = Pulled()
    with pacs(pulled, only(ComprehensiveSRStorage, ExplicitVRLittleEndian)) as there:
        node.destinations["there"] = there

        count = node.move("PACS")

    assert (count.status, count.completed, count.failed_uids, pulled.uids) == (0xB000, 1, (SEG,), [SR])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom leaves the unconnected socket to the collector
def test_a_destination_that_is_unknown_or_away_is_refused(node: Node):
    node.destinations["away"] = Destination(ae_title="AWAY", host="127.0.0.1", port=unused_port())

    assert [node.move("NOBODY").status, node.move("AWAY").status] == [0xA801, 0xA801]


def test_getscu_and_movescu_of_dcmtk_pull_a_study(node: Node, tmp_path: Path):
    received = tmp_path / "received"
    received.mkdir()
    called = ["-S", "-aec", "CAD_NODE"]
    address = ["127.0.0.1", str(node.door.port), "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.1"]

    got = run(tool("getscu", "DCMTK"), *called, "-od", received, *address)
    pulled = Pulled()
    with pacs(pulled) as there:
        node.destinations["there"] = there
        moved = run(tool("movescu", "DCMTK"), *called, "-aem", "PACS", *address)

    assert (got.returncode, moved.returncode) == (0, 0), got.stderr + moved.stderr
    assert sorted((dcmread(file) for file in received.iterdir()), key=lambda ds: ds.SOPInstanceUID) == node.made
    assert pulled.uids == [SEG, SR]


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: Debian's {MISSING}")
def test_orthanc_looks_for_results_and_pulls_them(node: Node, tmp_path: Path):
    (tmp_path / "orthanc").mkdir()
    with Orthanc(tmp_path / "orthanc", free_port(), free_port(), node.door.port) as orthanc:
        node.destinations["pacs"] = Destination(ae_title=AE_TITLE, host="127.0.0.1", port=orthanc.dicom_port)

        asked = json.dumps({"Level": "Series", "Query": {"StudyInstanceUID": "1.2.1", "Modality": "SR"}})
        answer = orthanc.post("/modalities/cad_node/query", asked.encode())["Path"]
        listed = orthanc.get(f"{answer}/answers")
        orthanc.post(f"{answer}/retrieve", AE_TITLE.encode())
        (instance,) = orthanc.get("/instances?expand")

    assert len(listed) == 1
    assert instance["MainDicomTags"]["SOPInstanceUID"] == SR
