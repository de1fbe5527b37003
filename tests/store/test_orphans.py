"""A file that was placed, and never indexed: it takes no UID from anybody."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cad_node.store.database import Database
from cad_node.store.spool import Spool
from cad_node.store.studies import ReceivedInstance, Studies, UidTaken
from tests.store import children
from tests.store.arrivals import NOW, after, index, received
from tests.store.placing import content, place
from tests.store.race import kill_when_it_reports


@pytest.fixture
def spool(database_url: str, tmp_path: Path) -> Iterator[Spool]:
    """A spool with an orphan in it."""
    kill_when_it_reports(children.place_and_hang_before_the_index, database_url, tmp_path, b"orphan")
    with closing(Spool(tmp_path, 0)) as opened:
        yield opened


def placed(spool: Spool, data_set: bytes) -> ReceivedInstance:
    file = place(spool, "1.2.3", "1.2.3.1", "1.2.3.9.1", data_set)
    return replace(received(1), path=file.path, digest=file.digest)


def test_another_content_than_a_killed_process_placed_is_taken_and_can_be_read(database: Database, spool: Spool):
    studies = Studies(database)

    new = index(studies, placed(spool, b"edited meanwhile"), NOW)
    again = index(studies, placed(spool, b"edited meanwhile"), after(1))

    (series,) = studies.load("1.2.3").series
    assert (new, again) == (True, False)
    assert content(series.instances[0].path) == b"edited meanwhile"
    assert studies.list()[0].conflicts == 0


def test_the_same_content_sent_again_is_taken(database: Database, spool: Spool):
    studies = Studies(database)

    new = index(studies, placed(spool, b"orphan"), NOW)

    assert new
    assert content(studies.load("1.2.3").series[0].instances[0].path) == b"orphan"


def test_once_another_content_was_taken_the_orphan_s_is_a_conflict(database: Database, spool: Spool):
    studies = Studies(database)
    index(studies, placed(spool, b"edited meanwhile"), NOW)

    with pytest.raises(UidTaken):
        index(studies, placed(spool, b"orphan"), after(1))

    assert studies.list()[0].conflicts == 1
    assert content(studies.load("1.2.3").series[0].instances[0].path) == b"edited meanwhile"
