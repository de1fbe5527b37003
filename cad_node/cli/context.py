"""What commands share: how errors reach a person, the settings, a console, and the choice of table or JSON."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cad_node.errors import CadNodeError, ProviderMissing, SettingsError
from cad_node.lifecycle import IllegalMove
from cad_node.log import configure_logging
from cad_node.settings import Settings, read_settings
from cad_node.supervisor import EX_CONFIG

console = Console()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def run(app: typer.Typer) -> None:
    """Run a command line; the node's own errors are a line, not a traceback."""
    try:
        app()
    except (CadNodeError, IllegalMove) as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(EX_CONFIG if isinstance(error, SettingsError | ProviderMissing) else 1)


def settings() -> Settings:
    """The settings, with logging set up as they say."""
    file = os.environ.get("CAD_NODE_CONFIG")
    read = read_settings(Path(file) if file else None)
    configure_logging(read.log.level, read.log.json_lines)
    return read


def show(rows: Sequence[Any], columns: Sequence[str], as_json: bool, title: str) -> None:
    """Print dataclass rows: as a table of `columns`, or as JSON with every field."""
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(cell(getattr(row, column)) for column in columns))
    console.print(table)


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, default=str))


def cell(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return str(value)


def record(row: Any, skip: Sequence[str] = ()) -> Table:
    """One dataclass as a two-column table."""
    table = Table(show_header=False, box=None)
    for field in fields(row):
        if field.name not in skip:
            table.add_row(f"[bold]{field.name.replace('_', ' ')}[/]", cell(getattr(row, field.name)))
    return table
