"""The schema: up, down, equal to the tables in code, and told when it is another."""

import warnings
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from cad_node.errors import SettingsError
from cad_node.store.database import Database, open_engine
from cad_node.store.migrate import alembic_config, newest_revision, require_current, upgrade
from cad_node.store.node import node_uid
from cad_node.store.tables import Base
from tests.store import children
from tests.store.race import race


def tables_of(url: str) -> set[str]:
    engine = open_engine(url)
    with engine.begin() as connection:
        names = set(sa.inspect(connection).get_table_names())
    engine.dispose()
    return names - {"alembic_version"}


def downgrade(url: str) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    engine.dispose()


def test_migrations_go_up_down_and_up_again(empty_database_url):
    upgrade(empty_database_url)
    up = tables_of(empty_database_url)
    downgrade(empty_database_url)
    down = tables_of(empty_database_url)
    upgrade(empty_database_url)

    assert up == tables_of(empty_database_url) == set(Base.metadata.tables)
    assert down == set()


def test_what_was_received_before_keeps_its_digest_which_from_then_on_names_its_kind(empty_database_url):
    now = datetime(2026, 1, 2, tzinfo=UTC)
    study = {"study_instance_uid": "1.2.3"}
    series = {**study, "series_instance_uid": "1.2.3.1"}
    rows = {
        "studies": {**study, "revision": 1, "state": "complete", "received_at": now, "last_instance_at": now},
        "series": {**series, "modality": "CT"},
        "instances": {
            **series,
            "sop_instance_uid": "1.2.3.1.7",
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
            "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "revision": 1,
            "path": "/spool/a.dcm",
            "sha256": "5" * 64,
            "header": "{}",
            "is_result": False,
            "received_at": now,
        },
        "conflicts": {**series, "sop_instance_uid": "1.2.3.1.7", "path": "/spool/b.dcm", "sha256": "6" * 64, "received_at": now},
    }
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0003")
        tables = sa.MetaData()
        tables.reflect(connection)
        for table, values in rows.items():
            connection.execute(sa.insert(tables.tables[table]).values(values))

    def digests(name: str) -> list[str]:
        with engine.begin() as connection:
            return [connection.exec_driver_sql(f"SELECT {name} FROM {table}").scalar_one() for table in ("instances", "conflicts")]

    upgrade(empty_database_url)
    up = digests("digest")
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "0003")
    down = digests("sha256")
    engine.dispose()

    assert up == ["sha256:" + "5" * 64, "sha256:" + "6" * 64]
    assert down == ["5" * 64, "6" * 64]


def test_the_newest_revision_by_its_file_s_name_is_the_head_of_the_chain(database):
    with database.engine.begin() as connection:
        head = ScriptDirectory.from_config(alembic_config(connection)).get_current_head()

    assert newest_revision() == head


def test_the_migrated_schema_is_the_one_in_code(database):
    with database.engine.begin() as connection, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*skipping metadata-specified expression-based index 'ix_jobs_claim'")
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = compare_metadata(context, Base.metadata)

    # SQLite doesn't tell that an index column is descending: looked at by itself in the next test
    assert [difference for difference in differences if "ix_jobs_claim" not in str(difference)] == []


def test_the_index_of_claims_is_in_the_order_of_claims(database):
    definition = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE name = :n",
        "postgresql": "SELECT indexdef FROM pg_indexes WHERE indexname = :n",
    }

    with database.engine.begin() as connection:
        index = connection.scalar(sa.text(definition[connection.dialect.name]), {"n": "ix_jobs_claim"})

    assert "(state, priority DESC, id)" in index


def test_no_column_is_for_a_patient_s_identity():
    columns = {column.name.lower() for table in Base.metadata.tables.values() for column in table.columns}

    assert not [name for name in columns if "patient" in name or "birth" in name]


def test_an_upgrade_of_a_current_database_changes_nothing(empty_database_url):
    upgrade(empty_database_url)
    database = Database(empty_database_url)
    before = node_uid(database)

    upgrade(empty_database_url)

    assert node_uid(database) == before
    database.dispose()


def test_several_processes_may_upgrade_an_empty_database_at_once(empty_database_url):
    race(children.upgrade_beside_the_others, empty_database_url, ("one", "two", "three"))

    require_current(empty_database_url)


def test_a_database_without_tables_says_what_to_run(empty_database_url):
    with pytest.raises(SettingsError, match="cad-node db upgrade"):
        require_current(empty_database_url)


def test_a_database_of_another_version_says_which_and_hides_the_password(empty_database_url):
    upgrade(empty_database_url)
    engine = open_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with_password = sa.make_url(empty_database_url)
    if with_password.drivername != "sqlite":
        with_password = with_password.set(password="secret")

    with pytest.raises(SettingsError, match="9999") as refused:
        require_current(with_password.render_as_string(hide_password=False))

    assert "secret" not in str(refused.value)
