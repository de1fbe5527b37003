"""An instance that comes again while what came long ago is being removed: it was acknowledged, so it is there afterwards."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import event

from cad_node.receive.c_store import StoreCommand
from cad_node.receive.index_queue import IndexQueue
from cad_node.receive.instance import Intake
from cad_node.receive.statuses import SUCCESS
from cad_node.retention import Kind, Stored
from cad_node.store.database import Database
from cad_node.store.listed_files import ListedFiles
from cad_node.store.removals import Removals
from cad_node.store.spool import Spool
from cad_node.store.studies import Studies
from tests.factory import ct_study
from tests.receive.front_door import after_meta, encoded, utc_now
from tests.store.arrivals import settle


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
    assert not list((node.folder / "spool" / "arriving").rglob("*.dcm"))
