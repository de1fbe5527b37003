"""A listening Storage SCP on loopback with a spool and an embedded database of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cad_node.receive.scp import StorageScp
from cad_node.settings import Scp
from cad_node.store.database import Database
from cad_node.store.files import Spool
from cad_node.store.migrate import upgrade
from cad_node.store.studies import Studies
from tests.receive.front_door import FrontDoor, utc_now


@pytest.fixture
def open_front_door(tmp_path: Path) -> Iterator[Callable[..., FrontDoor]]:
    """Opens a front door with other settings: open_front_door(min_free_mb=…, max_associations=…)."""
    url = f"sqlite:///{tmp_path / 'node.db'}"
    upgrade(url)
    database = Database(url)
    opened: list[StorageScp] = []

    def open_one(**values: int) -> FrontDoor:
        settings = Scp(host="127.0.0.1", port=0, **{"min_free_mb": 0} | values)
        studies = Studies(database)
        scp = StorageScp(settings, "CAD_NODE", Spool(tmp_path / "spool", settings.min_free_mb), studies, utc_now)
        opened.append(scp)
        return FrontDoor(scp, scp.start(), tmp_path, studies)

    yield open_one
    for scp in opened:
        scp.stop(grace_s=1)
    database.dispose()


@pytest.fixture
def front_door(open_front_door: Callable[..., FrontDoor]) -> FrontDoor:
    return open_front_door()
