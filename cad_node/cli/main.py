"""cad-node: the root command."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cad_node import __version__
from cad_node.cli import config, demo, jobs, models, network, processes, studies, training
from cad_node.cli.context import run

app = typer.Typer(
    name="cad-node",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals could show a patient's name
    help="A CAD inference server for DICOM: studies in, Segmentations and Structured Reports back to the PACS.\n\n"
    "First steps: `cad-node demo` shows the whole way on a phantom; `cad-node config check` reads your settings; "
    "`cad-node serve` runs the node; `cad-node jobs list` shows what it is doing.",
)
for part in (processes.app, demo.app, network.app, training.app):
    app.registered_commands.extend(part.registered_commands)
app.add_typer(jobs.app, name="jobs")
app.add_typer(studies.app, name="studies")
app.add_typer(models.app, name="models")
app.add_typer(config.db, name="db")
app.add_typer(config.app, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    config_file: Annotated[
        Path | None,
        typer.Option("--config", envvar="CAD_NODE_CONFIG", help="TOML file with the settings; docs/configuration.md lists every key."),
    ] = None,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Options that every command has."""
    if config_file:
        os.environ["CAD_NODE_CONFIG"] = str(config_file)  # the processes that `serve` starts read it too


def main() -> None:
    """Run the command line."""
    run(app)
