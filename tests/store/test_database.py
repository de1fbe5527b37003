"""Connections, transactions, times and errors; and that nothing slows down as the tables grow."""

import threading
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pysqlite3.dbapi2
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from cad_node.disk import OutOfSpace
from cad_node.errors import SettingsError
from cad_node.lifecycle import DeliveryState, JobState
from cad_node.objects import Profile
from cad_node.store.database import Database, DatabaseUnavailable
from cad_node.store.deliveries import Deliveries
from cad_node.store.jobs import Jobs
from cad_node.store.node import node_uid
from cad_node.store.studies import Studies
from cad_node.store.tables import NodeRow, StudyRow
from tests.store.arrivals import LEASE_S, NOW, claim, index, new_job, queue_jobs, received, results, settle


@pytest.fixture
def sqlite(tmp_path, migrated_file):
    copy = tmp_path / "cad_node.db"
    copy.write_bytes(migrated_file.read_bytes())
    database = Database(f"sqlite:///{copy}")
    yield database
    database.dispose()


def impatient(database: Database) -> Database:
    """The same database for another process, which waits for no lock."""
    second = Database(database.engine.url.render_as_string())
    event.listen(second.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 10"))
    return second


def test_a_transaction_is_kept_whole_or_not_at_all(database):
    def write_and_fail() -> None:
        with database.transaction() as session:
            session.execute(sa.delete(NodeRow))
            raise RuntimeError("half way")

    before = node_uid(database)
    with pytest.raises(RuntimeError):
        write_and_fail()

    assert node_uid(database) == before


def test_times_come_back_in_utc_whatever_their_zone_was(database):
    in_lisbon = datetime(2026, 7, 1, 12, 0, 0, 123456, timezone(timedelta(hours=1)))

    index(Studies(database), received(), in_lisbon)

    (evidence,) = Studies(database).receiving()
    assert evidence.last_instance_at == in_lisbon
    assert evidence.last_instance_at.tzinfo is UTC


def test_a_time_without_its_zone_is_refused(database):
    with pytest.raises(sa.exc.StatementError, match="naive"):
        index(Studies(database), received(), datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test


def test_every_node_has_a_random_identity(database):
    assert node_uid(database).version == 4


def test_the_embedded_database_is_opened_for_several_processes_and_power_cuts(sqlite):
    with sqlite.engine.begin() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
        driver = type(connection.connection.driver_connection)

    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 30_000, "foreign_keys": 1}
    assert issubclass(driver, pysqlite3.dbapi2.Connection)


def test_the_embedded_database_s_folder_is_made(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'new' / 'folder' / 'cad_node.db'}")

    with database.transaction() as session:
        answer = session.scalar(sa.text("SELECT 1"))
    database.dispose()

    assert answer == 1


def test_the_embedded_database_writes_one_at_a_time_from_the_start_of_a_transaction(sqlite):
    second = impatient(sqlite)

    with sqlite.transaction() as reading:
        reading.scalar(sa.select(NodeRow.uid))
        with pytest.raises(DatabaseUnavailable, match="locked") as refused, second.transaction() as writing:
            writing.scalar(sa.select(NodeRow.uid))

    assert refused.value.retryable
    second.dispose()


def test_reading_waits_for_no_writer_and_keeps_none_waiting(sqlite):
    studies, second = Studies(sqlite), impatient(sqlite)
    index(studies, received(study="1.2.1"), NOW)

    with sqlite.transaction() as writing:
        writing.execute(sa.delete(NodeRow))
        seen = [node_uid(second), Studies(second).load("1.2.1"), Studies(second).is_own_result("1.2.3"), Jobs(second).counts()]
    with sqlite.reading() as reading:
        reading.scalar(sa.select(NodeRow.uid))
        written = index(Studies(second), received(study="1.2.2"), NOW)

    assert len(seen) == 4
    assert written
    second.dispose()


def test_what_one_reading_sees_is_of_one_moment(database):
    with database.reading() as reading:
        before = reading.scalar(sa.select(sa.func.count()).select_from(StudyRow))
        index(Studies(database), received(), NOW)
        after = reading.scalar(sa.select(sa.func.count()).select_from(StudyRow))

    assert (before, after, len(Studies(database).list())) == (0, 0, 1)


def test_a_reading_cannot_write_and_its_connection_can_again_afterwards(database):
    with pytest.raises((sa.exc.DBAPIError, DatabaseUnavailable), match=r"read-?only"), database.reading() as reading:
        reading.execute(sa.delete(NodeRow))

    assert index(Studies(database), received(), NOW)
    assert node_uid(database)


def test_a_full_disk_under_the_database_is_out_of_space(sqlite):
    studies = Studies(sqlite)
    index(studies, received(), NOW)
    with sqlite.engine.begin() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    event.listen(sqlite.engine, "begin", lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}"))

    with pytest.raises(OutOfSpace):
        deque(index(studies, received(number), NOW) for number in range(1000))


def test_a_server_that_is_not_there_is_unavailable_and_its_password_stays_out_of_the_message():
    database = Database("postgresql://user:secret@127.0.0.1:1/nothing")

    with pytest.raises(DatabaseUnavailable) as refused:
        node_uid(database)

    assert "secret" not in str(refused.value)
    database.dispose()


def test_forty_threads_use_the_database_at_once(database):
    together = threading.Barrier(40, timeout=20)

    def hold_a_connection(_number: int) -> uuid.UUID:
        found = node_uid(database)
        with database.engine.connect():
            together.wait()
        return found

    with ThreadPoolExecutor(40) as threads:
        found = set(threads.map(hold_a_connection, range(40)))

    assert len(found) == 1


def test_a_pool_without_a_free_connection_is_a_database_that_cannot_be_reached_now(sqlite, monkeypatch):
    pool = sqlite.engine.pool
    monkeypatch.setattr(pool, "_timeout", 0.01)
    held = [sqlite.engine.connect() for _ in range(40)]

    with pytest.raises(DatabaseUnavailable, match="busy") as refused:
        node_uid(sqlite)

    assert refused.value.retryable
    for connection in held:
        connection.close()


@pytest.mark.parametrize("url", ["mysql://host/name", "sqlite://", "sqlite:///:memory:", "no url"])
def test_a_database_that_cannot_serve_is_refused_by_its_key(url):
    with pytest.raises(SettingsError, match=r"database\.url"):
        Database(url)


def test_no_statement_of_the_main_job_reads_a_whole_table(sqlite):
    plans: dict[str, list[str]] = {}

    def explain(_connection, cursor, statement, parameters, *_):
        if statement.startswith(("SELECT", "UPDATE", "WITH", "INSERT")):
            rows = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            plans[statement] = [row[3] for row in rows]

    event.listen(sqlite.engine, "before_cursor_execute", explain)
    studies, jobs, deliveries = Studies(sqlite), Jobs(sqlite), Deliveries(sqlite)
    queue_jobs(studies, 0, 0)
    studies.load("1.2.1")
    studies.is_own_result("1.2.3")
    studies.association_ended([("1.2.1", "1.2.1.1")], NOW)
    job = claim(jobs)
    jobs.heartbeat(job, NOW, LEASE_S)
    jobs.finish(job, results(job), {"pacs": Profile(("seg", "sr"))}, NOW)
    for held in deliveries.claim("pacs", "sender", NOW, LEASE_S, 10):
        deliveries.deliver(held, "", NOW)
    jobs.lose_expired(NOW, 2)
    deliveries.lose_expired(NOW)
    index(studies, received(2, "1.2.1"), NOW)
    settle(studies, "1.2.1", new_job())
    jobs.retry_all(JobState.FAILED, NOW)
    deliveries.retry(job.id, NOW)
    deliveries.retry_all(NOW)
    deliveries.retry_all(NOW, "pacs")
    jobs.show(job.id)
    studies.list()
    jobs.list()
    jobs.list(JobState.DONE)
    deliveries.list(state=DeliveryState.FAILED)

    tables = ("studies", "series", "instances", "jobs", "results", "deliveries", "job_events")
    scans = [
        (plan, sql) for sql, steps in plans.items() for plan in steps if plan.startswith("SCAN") and plan.split()[1].rstrip("_1") in tables
    ]
    in_order = ("USING INDEX ix_studies_received_at", "SCAN jobs")  # the newest rows of a listing, read until the limit
    assert [scan for scan in scans if not scan[0].endswith(in_order)] == []
    (claiming,) = [steps for sql, steps in plans.items() if "priority DESC" in sql]
    assert any("ix_jobs_claim" in step for step in claiming)
    assert not any("TEMP B-TREE" in step for step in claiming)
    sorted_listings = [sql for sql, steps in plans.items() if "id DESC" in sql and any("TEMP B-TREE" in step for step in steps)]
    assert sorted_listings == []
    assert len(plans) > 20


def test_a_server_that_was_restarted_is_used_again(create_postgresql_database, migrated_template):
    database = Database(create_postgresql_database(template=migrated_template))
    before = node_uid(database)
    other = Database(database.engine.url.render_as_string(hide_password=False))
    with other.transaction() as session:
        session.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        )
    other.dispose()

    again = node_uid(database)

    assert again == before
    database.dispose()
