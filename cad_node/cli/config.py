"""config and db: the settings and the database."""

import typer

from cad_node.cli.context import console, print_json, settings

app = typer.Typer(no_args_is_help=True, help="Check the settings.")
db = typer.Typer(no_args_is_help=True, help="Look after the database.")


@app.callback()
def config() -> None:
    """Check the settings."""


@db.callback()
def database() -> None:
    """Look after the database."""


@app.command(epilog="Example: cad-node --config /etc/cad_node.toml config check")
def check() -> None:
    """Read the settings and print them as they will be used, as JSON; an unknown key or a wrong value is named.

    They come from the file that --config or CAD_NODE_CONFIG names, and from variables like CAD_NODE_SCP__PORT, which win.

    Certificates and keys are read as well, and what is wrong with one is said.

    docs/configuration.md explains every key. Passwords, tokens and other secrets aren't printed.
    """
    from cad_node.tls import TlsContext

    read = settings()
    print_json(read.model_dump(mode="json", exclude={"database"}) | {"database": {"kind": read.database_url.partition(":")[0]}})
    if not read.destinations:
        typer.echo("note: no [destinations.NAME] is set, results will stay on this node", err=True)
    for tls in read.every_tls():
        TlsContext(tls).current()


@db.command("upgrade", epilog="Example: cad-node --config /etc/cad_node.toml db upgrade")
def upgrade_database() -> None:
    """Make the tables, or bring them to this version; safe to run again.

    The embedded SQLite does it by itself when the node starts.

    A PostgreSQL server's database needs this command once, and again after each update of the software.
    """
    from cad_node.store.migrate import upgrade

    read = settings()
    read.node.data_dir.mkdir(parents=True, exist_ok=True)
    upgrade(read.database_url)
    console.print("the database is current")
