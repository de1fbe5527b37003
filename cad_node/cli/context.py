"""What commands share: how errors reach a person, the settings, the store, and JSON."""

import json
import os
import sys
import traceback
import warnings
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from cad_node.errors import CadNodeError, ProviderMissing, SettingsError
from cad_node.log import configure_logging
from cad_node.settings import Settings, read_settings
from cad_node.supervisor import EX_CONFIG

if TYPE_CHECKING:
    from cad_node.app.start import Store

EX_FAILED, EX_USAGE, EX_SOFTWARE = 1, 2, 70  # the last as in sysexits.h

console = Console()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, with every field in full, instead of a table.")]


class NoDatabase(CadNodeError):
    """The node that these settings describe has never run."""


def run(app: typer.Typer) -> None:
    """Run a command line. What goes wrong ends it with one line on standard error and a status, see the root command's help."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # pydicom's quote the values they complain of, which can be a patient's
    try:
        app()
    except (SettingsError, ProviderMissing) as error:
        _end(str(error), EX_CONFIG)
    except CadNodeError as error:
        _end(str(error), EX_FAILED)
    except OSError as error:
        _end(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error), EX_FAILED)
    except Exception as error:  # noqa: BLE001 - the last place where a message or a local could show a patient's name
        print("".join(traceback.format_tb(error.__traceback__)), end="", file=sys.stderr)
        kind = type(error).__name__
        _end(f"{kind}, not expected here: please report it with the lines above. Its text is left out, it may quote a dataset", EX_SOFTWARE)


def settings() -> Settings:
    """The settings, with logging set up as they say."""
    file = os.environ.get("CAD_NODE_CONFIG")
    read = read_settings(Path(file) if file else None)
    configure_logging(read.log.level, read.log.json_lines)
    return read


def existing_store() -> "Store":
    """The rows of a node that has run before. Raises NoDatabase rather than making an empty one in the wrong place."""
    from cad_node.app.start import look_into_store

    read = settings()
    file = Path(read.database_url.removeprefix("sqlite:///"))
    if not read.database.url and not file.exists():
        raise NoDatabase(f"no database at {file}: no node has run with these settings. Name the node's own with --config FILE")
    return look_into_store(read)


def print_json(value: Any) -> None:
    """Print to standard output, times as ISO 8601."""
    typer.echo(as_json(value))


def as_json(value: Any) -> str:
    """JSON of rows as dictionaries: times as ISO 8601, whatever else it doesn't know as text."""
    return json.dumps(value, indent=2, default=lambda item: item.isoformat() if isinstance(item, datetime) else str(item))


def _end(message: str, status: int) -> NoReturn:
    Console(stderr=True).print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    sys.exit(status)
