"""config and db: the settings and the database."""

import typer

from cad_node.cli.context import console, print_json, settings
from cad_node.store.migrate import upgrade

app = typer.Typer(no_args_is_help=True, help="Check the settings.")
db = typer.Typer(no_args_is_help=True, help="Look after the database.")


@app.callback()
def config() -> None:
    """Check the settings."""


@db.callback()
def database() -> None:
    """Look after the database."""


@app.command()
def check() -> None:
    """Read the settings and print them as they will be used; an unknown key or a wrong value is named."""
    read = settings()
    print_json(read.model_dump(mode="json", exclude={"database"}) | {"database": {"kind": read.database_url.partition(":")[0]}})
    if not read.destinations:
        typer.echo("note: no [destinations.NAME] is set, results will stay on this node", err=True)


@db.command("upgrade")
def upgrade_database() -> None:
    """Make or upgrade the tables to this version; safe to run again."""
    read = settings()
    read.node.data_dir.mkdir(parents=True, exist_ok=True)
    upgrade(read.database_url)
    console.print("the database is current")
