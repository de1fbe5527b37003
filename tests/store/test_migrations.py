"""The schema: up, down, equal to the tables in code, and told when it is another."""

import warnings

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
