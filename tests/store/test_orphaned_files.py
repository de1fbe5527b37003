"""Files that no row names go at the age at which a named one would; where the database may be the wrong one, none does."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cad_node.store.database import Database
from cad_node.store.orphans import find_orphans
from tests.store.arrivals import NOW, claim
from tests.store.test_removals import Node

SOON = timedelta(days=1)


@pytest.fixture
def node(database: Database, tmp_path: Path) -> Node:
    """Three files that rows name."""
    node = Node(database, tmp_path)
    node.settled()
    node.finish(destinations=())
    return node


def orphans(node: Node, before: datetime | None = None) -> list[Path]:
    return find_orphans(
        node.database, {(node.folder / name).resolve(): before or datetime.now(UTC) + SOON for name in ("spool", "results")}
    )


def test_a_file_that_no_row_names_is_found_once_it_is_old(node: Node):
    left = node.written("spool/instances/1.2.9/1.2.9.1/1.2.9.1.1.dcm")

    found, young = orphans(node), orphans(node, datetime.now(UTC) - SOON)

    assert (found, young) == ([left], [])


def test_a_file_that_waits_to_be_indexed_has_another_name_and_is_no_orphan(node: Node):
    waiting = node.written("spool/instances/1.2.9/1.2.9.1/1.2.9.1.1.dcm")
    os.link(waiting, node.folder / "its name while it arrives")

    assert orphans(node) == []


def test_the_results_of_a_lost_lease_are_orphans_those_of_a_job_that_runs_are_not(node: Node):
    node.settled("1.2.4")
    job = claim(node.jobs)
    running = node.written(f"results/{job.uid}/{job.fence}/seg.dcm")
    lost = node.written(f"results/{job.uid}/{job.fence - 1}/seg.dcm")

    found = orphans(node)

    assert lost in found
    assert running not in found


def test_with_more_unknown_files_than_known_ones_none_is_an_orphan(node: Node):
    for number in range(4):
        node.written(f"spool/instances/1.2.9/1.2.9.1/1.2.9.1.{number}.dcm")

    assert orphans(node) == []


def test_orphans_are_removed_with_their_folders_and_nothing_else_is(node: Node):
    before = node.files()
    left = node.written("spool/instances/1.2.9/1.2.9.1/1.2.9.1.1.dcm")
    far = (datetime.now(UTC) - NOW).total_seconds() + 31 * 86_400

    count = node.remover(far).remove_orphans()

    assert count == 1
    assert node.files() == before
    assert not left.parent.parent.exists()
