"""An instance that comes again while what came long ago is being removed: it was acknowledged, so it is there afterwards."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import event

from cad_node.receive import index_queue
from cad_node.receive.c_store import StoreCommand
from cad_node.receive.index_queue import IndexQueue, Ticket
from cad_node.receive.instance import Intake
from cad_node.receive.statuses import SUCCESS
from cad_node.retention import Kind, Stored
from cad_node.store.arriving import forget
from cad_node.store.database import Database
from cad_node.store.listed_files import ListedFiles
from cad_node.store.removals import Removals
from cad_node.store.spool import Placed, Spool
from cad_node.store.studies import Studies
from tests.factory import ct_study
from tests.receive.front_door import after_meta, encoded, utc_now
from tests.store.arrivals import settle
from tests.store.placing import everything_in


@dataclass(frozen=True, slots=True)
class Node:
    database: Database
    folder: Path

    def receive(self, ds: Dataset) -> None:
        with closing(Spool(self.folder / "spool", 0)) as spool, IndexQueue(spool, Studies(self.database)) as index:
            command = StoreCommand(ds.SOPClassUID, ds.SOPInstanceUID, ExplicitVRLittleEndian, "MODALITY")
            incoming = Intake(spool, index, utc_now).begin(command, *[lambda *_: None] * 2)
            incoming.write(encoded(ds))
            assert incoming.finish() == SUCCESS

    def listed(self) -> ListedFiles:
        return ListedFiles(self.database, self.folder / "spool", self.folder / "results")

    def indexed(self, ds: Dataset) -> list[Path]:
        return [i.path for series in Studies(self.database).load(ds.StudyInstanceUID).series for i in series.instances]


@pytest.fixture
def node(database: Database, tmp_path: Path) -> Node:
    return Node(database, tmp_path)


@pytest.fixture
def left(node: Node) -> tuple[Dataset, Path]:
    """An instance whose rows are gone and whose file is on the list: its removal is under way."""
    ds = ct_study(slices=1)[0]
    node.receive(ds)
    (path,) = node.indexed(ds)
    settle(Studies(node.database), ds.StudyInstanceUID, now=utc_now())
    stored = Stored(Kind.INPUTS, ds.StudyInstanceUID, None, utc_now(), 1, path.stat().st_size)
    assert Removals(node.database).remove(stored, utc_now())
    return ds, path


def test_once_it_is_indexed_its_file_leaves_the_list(node: Node, left: tuple[Dataset, Path]):
    ds, path = left
    node.receive(ds)

    node.listed().unlink(utc_now())

    assert node.listed().waiting() == 0
    assert node.indexed(ds) == [path]
    assert after_meta(path) == encoded(ds)


def test_a_file_unlinked_while_it_is_indexed_gets_its_name_again(node: Node, left: tuple[Dataset, Path]):
    ds, path = left

    def unlink(_connection, _cursor, statement, *_):
        if statement.startswith("INSERT INTO instances"):
            path.unlink()  # whoever looked at it just before it came
            path.parent.rmdir()

    event.listen(node.database.engine, "before_cursor_execute", unlink)
    node.receive(ds)

    assert node.indexed(ds) == [path]
    assert after_meta(path) == encoded(ds)
    assert everything_in(node.folder / "spool" / "arriving") == []


@pytest.mark.timeout(60)
def test_a_file_removed_from_arriving_before_it_is_indexed_holds_nobody_up(node: Node, monkeypatch: pytest.MonkeyPatch):
    first, second = ct_study(slices=2)
    place = Spool.place

    def removed(spool: Spool, arriving: Path, digest: str, final: Path) -> Placed:
        if final.stem == first.SOPInstanceUID:
            arriving.unlink(missing_ok=True)
        return place(spool, arriving, digest, final)

    monkeypatch.setattr(Spool, "place", removed)
    node.receive(first)
    node.receive(second)

    assert [path.stem for path in node.indexed(second)] == [second.SOPInstanceUID]


@pytest.mark.timeout(60)
def test_a_batch_that_was_indexed_and_forgotten_in_part_is_indexed_again(node: Node, monkeypatch: pytest.MonkeyPatch):
    failures = iter([OSError(5, "Input/output error")])

    def forget_and_fail(arriving: Path) -> None:
        forget(arriving)
        for failure in failures:
            raise failure

    monkeypatch.setattr(index_queue, "forget", forget_and_fail)
    monkeypatch.setattr(index_queue, "_RETRY_S", 0.01)
    ds = ct_study(slices=1)[0]

    with closing(Spool(node.folder / "spool", 0)) as spool, IndexQueue(spool, Studies(node.database)) as index:
        command = StoreCommand(ds.SOPClassUID, ds.SOPInstanceUID, ExplicitVRLittleEndian, "MODALITY")
        incoming = Intake(spool, index, utc_now).begin(command, lambda _, ticket: tickets.append(ticket), lambda _: None)
        tickets: list[Ticket] = []
        incoming.write(encoded(ds))
        assert incoming.finish() == SUCCESS
        assert index.wait_for(tickets[0], 30)

    assert [path.stem for path in node.indexed(ds)] == [ds.SOPInstanceUID]
    assert Studies(node.database).list()[0].conflicts == 0
