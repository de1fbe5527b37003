"""Bring a database to the schema this version works with, or say that it isn't there.

Alembic is imported where something is to be migrated: it takes 10 MB of every process, most of which find the tables as they need them.
"""

from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

from cad_node.errors import SettingsError
from cad_node.shipped import shipped
from cad_node.store.database import DatabaseUnavailable, open_engine, reading_only

if TYPE_CHECKING:
    from alembic.config import Config


def upgrade(url: str) -> None:
    """Create or migrate the tables to the newest schema. Several processes may call it at once."""
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            if _revision(connection) != newest_revision():
                _migrate(connection)
    except OperationalError as exc:
        raise DatabaseUnavailable(f"the database doesn't answer: {exc.orig}") from exc
    finally:
        engine.dispose()


def require_current(url: str) -> None:
    """Raise SettingsError unless the database has exactly this version's schema."""
    engine = open_engine(url)
    try:
        with reading_only(engine).begin() as connection:
            found, wanted = _revision(connection), newest_revision()
    except OperationalError as exc:
        raise DatabaseUnavailable(f"the database doesn't answer: {exc.orig}") from exc
    finally:
        engine.dispose()
    if found != wanted:
        name = engine.url.render_as_string(hide_password=True)
        raise SettingsError(f"database {name} has schema {found or 'none'}, this version needs {wanted}; run `cad-node db upgrade`")


def newest_revision() -> str:
    """Migrations are numbered, and their files' names begin with the number."""
    return max(path.name.partition("_")[0] for path in (shipped("migrations") / "versions").glob("[0-9]*.py"))


def alembic_config(connection: Connection) -> "Config":
    """Alembic's configuration, working on `connection` and inside its transaction."""
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(shipped("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str | None:
    """Where a database stands; None where it has no tables yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _migrate(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - see above

    command.upgrade(alembic_config(connection), "head")
