"""An instance that comes again while what came long ago is being removed: it was acknowledged, so it is there afterwards."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from cad_node.receive.c_store import StoreCommand
from cad_node.receive.index_queue import IndexQueue
from cad_node.receive.instance import Intake
from cad_node.receive.recovery import index_what_was_left
from cad_node.receive.statuses import SUCCESS
from cad_node.store.database import Database
from cad_node.store.files import Spool
from cad_node.store.listed_files import ListedFiles
from cad_node.store.studies import Studies
from tests.factory import ct_study
from tests.receive.front_door import after_meta, encoded, utc_now


@dataclass(frozen=True, slots=True)
class Node:
    database: Database
    folder: Path

    @contextmanager
    def intake(self, *, indexing: bool = True) -> Iterator[tuple[Intake, IndexQueue]]:
        """A receiving process; without indexing it dies before it has indexed anything."""
        index = IndexQueue(Studies(self.database))
        with closing(Spool(self.folder / "spool", 0)) as spool, index if indexing else nullcontext():
            if indexing:
                index_what_was_left(spool, index, utc_now)
            yield Intake(spool, index, utc_now), index

    def receive(self, ds: Dataset, *, indexing: bool = True) -> None:
        with self.intake(indexing=indexing) as (intake, _):
            assert send(intake, ds) == SUCCESS

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
    with node.intake(indexing=False) as (intake, _):
        send(intake, ds)
    (path,) = (node.folder / "spool" / "instances").rglob("*.dcm")
    for arriving in (node.folder / "spool" / "arriving").rglob("*.dcm"):
        arriving.unlink()
    node.listed().add([path.resolve()], utc_now())
    return ds, path


def send(intake: Intake, ds: Dataset):
    incoming = intake.begin(StoreCommand(ds.SOPClassUID, ds.SOPInstanceUID, ExplicitVRLittleEndian, "MODALITY"), *[lambda *_: None] * 2)
    incoming.write(encoded(ds))
    return incoming.finish()


def test_before_it_is_indexed_its_file_is_not_unlinked(node: Node, left: tuple[Dataset, Path]):
    ds, path = left
    node.receive(ds, indexing=False)

    gone = node.listed().unlink(utc_now())

    assert gone == 0
    assert path.exists()


def test_once_it_is_indexed_its_file_leaves_the_list(node: Node, left: tuple[Dataset, Path]):
    ds, path = left
    node.receive(ds)

    node.listed().unlink(utc_now())

    assert node.listed().waiting() == 0
    assert node.indexed(ds) == [path]
    assert after_meta(path) == encoded(ds)


@pytest.mark.parametrize("dies", [False, True], ids=["the process lives on", "the process dies"])
def test_a_file_unlinked_at_the_last_moment_gets_its_name_again(node: Node, left: tuple[Dataset, Path], dies: bool):
    ds, path = left
    with node.intake(indexing=False) as (intake, index):
        send(intake, ds)
        path.unlink()  # whoever looked at it just before it came
        path.parent.rmdir()
        if not dies:
            with index:
                pass
    with node.intake():
        pass

    assert node.indexed(ds) == [path]
    assert after_meta(path) == encoded(ds)
    assert not list((node.folder / "spool" / "arriving").rglob("*.dcm"))
