"""One engine for SQLite and PostgreSQL: how connections are opened, how a transaction begins, and which errors it gives."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from cad_node.disk import OutOfSpace
from cad_node.errors import CadNodeError, SettingsError

BUSY_TIMEOUT_S = 30
# More threads than a process has: 32 associations and the settling in the receiving one. A connection too many would wait for a free one.
_POOL: Mapping[str, int] = {"pool_size": 8, "max_overflow": 32, "pool_timeout": BUSY_TIMEOUT_S}
_READING = "reading_only"  # execution option
_POSTGRESQL_DISK_FULL = "53100"  # SQLSTATE disk_full


class DatabaseUnavailable(CadNodeError):
    """The database can't be reached, or stayed locked for too long."""

    retryable = True


class Database:
    """The node's tables, in whatever database the URL names."""

    def __init__(self, url: str) -> None:
        """url: sqlite:////absolute/path or postgresql://user:password@host/name. Raises SettingsError on any other."""
        self.engine = open_engine(url)
        self._writing = sessionmaker(self.engine, expire_on_commit=False)
        self._reading = sessionmaker(reading_only(self.engine), expire_on_commit=False)

    def transaction(self) -> AbstractContextManager[Session]:
        """One session, one transaction: committed at the end of the block, rolled back by any exception.

        Raises OutOfSpace where the database's disk is full, DatabaseUnavailable where it can't be reached.
        """
        return _translating(self._writing)

    def reading(self) -> AbstractContextManager[Session]:
        """One session, one transaction that can't write: all it reads is of one moment, and it waits for no writer.

        Raises DatabaseUnavailable.
        """
        return _translating(self._reading)

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def open_engine(url: str) -> Engine:
    """The engine behind Database and the migrations."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed, pool_pre_ping=True, hide_parameters=True, **_POOL)
    Path(parsed.database or "").parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, module=pysqlite3.dbapi2, hide_parameters=True, **_POOL)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin)
    return engine


def reading_only(engine: Engine) -> Engine:
    """The same connections, for transactions that only read."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine.execution_options(**{_READING: True})


def insert_if_absent(session: Session, row: type[DeclarativeBase], values: Mapping[str, Any]) -> bool:
    """Insert unless a unique key is there already; True: inserted. Safe against another process that does the same."""
    connection = session.connection()
    statement = _INSERTS[connection.dialect.name](row.__table__).values(values).on_conflict_do_nothing()
    return connection.execute(statement.returning(*row.__table__.primary_key)).first() is not None


def insert_absent(session: Session, row: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]], key: Any) -> set[Any]:
    """Insert many rows but for those that are there; the `key` of each that was inserted."""
    connection = session.connection()
    statement = _INSERTS[connection.dialect.name](row.__table__).on_conflict_do_nothing().returning(key)
    return set(connection.execute(statement, list(rows)).scalars())


_INSERTS: Mapping[str, Callable[..., Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}  # Any: two unrelated classes


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise SettingsError("database.url: not a URL; write sqlite:////absolute/path or postgresql://user:password@host/name") from exc
    if parsed.drivername not in {"sqlite", "postgresql", "postgresql+psycopg"}:
        raise SettingsError(f"database.url: {parsed.drivername} isn't supported; use sqlite or postgresql")
    if parsed.drivername == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise SettingsError("database.url: SQLite needs a file, because several processes share it")
    return parsed


def _prepare_sqlite(connection: Any, _record: object) -> None:  # Any: the driver has no types
    connection.isolation_level = None  # the driver begins nothing by itself; _begin does
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")  # what was committed survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")


def _switch_to_wal(connection: Any) -> None:
    """Only a new file's first connection changes anything; beside others that do the same SQLite says at once that it is locked."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except pysqlite3.dbapi2.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _begin(connection: Connection) -> None:
    reading = _READING in connection.get_execution_options()
    connection.exec_driver_sql(f"PRAGMA query_only = {reading:d}")
    # A transaction that reads first and writes later can't be upgraded once another has written: take the write lock at once.
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


@contextmanager
def _translating(sessions: sessionmaker[Session]) -> Iterator[Session]:
    try:
        with sessions.begin() as session:
            yield session
    except OperationalError as exc:
        raise _translated(exc) from exc
    except PoolTimeout as exc:
        raise DatabaseUnavailable(f"every connection to the database was busy for {BUSY_TIMEOUT_S} s; try again") from exc


def _translated(exc: OperationalError) -> CadNodeError:
    full = getattr(exc.orig, "sqlite_errorname", "") == "SQLITE_FULL" or getattr(exc.orig, "sqlstate", "") == _POSTGRESQL_DISK_FULL
    if full:
        return OutOfSpace("the database's disk is full; free some space")
    return DatabaseUnavailable(f"the database doesn't answer: {exc.orig}")
