"""Bring a database to the schema this version works with, or say that it isn't there."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from cad_node.errors import SettingsError
from cad_node.shipped import shipped
from cad_node.store.database import DatabaseUnavailable, open_engine, reading_only


def upgrade(url: str) -> None:
    """Create or migrate the tables to the newest schema. Several processes may call it at once."""
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            command.upgrade(alembic_config(connection), "head")
    except OperationalError as exc:
        raise DatabaseUnavailable(f"the database doesn't answer: {exc.orig}") from exc
    finally:
        engine.dispose()


def require_current(url: str) -> None:
    """Raise SettingsError unless the database has exactly this version's schema."""
    engine = open_engine(url)
    try:
        with reading_only(engine).begin() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
            wanted = ScriptDirectory.from_config(alembic_config(connection)).get_current_head()
    except OperationalError as exc:
        raise DatabaseUnavailable(f"the database doesn't answer: {exc.orig}") from exc
    finally:
        engine.dispose()
    if found != wanted:
        name = engine.url.render_as_string(hide_password=True)
        raise SettingsError(f"database {name} has schema {found or 'none'}, this version needs {wanted}; run `cad-node db upgrade`")


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration, working on `connection` and inside its transaction."""
    config = Config()
    config.set_main_option("script_location", str(shipped("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
