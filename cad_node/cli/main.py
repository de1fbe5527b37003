"""cad-node: the root command."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cad_node import __version__
from cad_node.cli import audit, check, config, deliveries, demo, fetch, jobs, models, network, processes, retention, studies, training
from cad_node.cli.context import run

app = typer.Typer(
    name="cad-node",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals could show a patient's name
    help="A CAD inference server for DICOM: studies in, Segmentations and Structured Reports back to the PACS.\n\n"
    "First steps: `cad-node demo` shows the whole way on a phantom; `cad-node config check` reads your settings; "
    "`cad-node serve` runs the node; `cad-node jobs list` shows what it is doing.",
    epilog="Exit status: 0 done; 1 it didn't work, a line says why; 2 wrong usage, or nothing to do; "
    "70 a defect of this program; 78 the settings or the device can't be used.",
)
for panel, part in (
    ("Try it", demo.app),
    ("Run the node", processes.app),
    ("Talk to a peer by hand", network.app),
    ("Talk to a peer by hand", fetch.app),
    ("Check objects", check.app),
    ("Make the models again", training.app),
):
    for command in part.registered_commands:
        command.rich_help_panel = panel
    app.registered_commands.extend(part.registered_commands)
app.add_typer(jobs.app, name="jobs", rich_help_panel="See and steer")
app.add_typer(deliveries.app, name="deliveries", rich_help_panel="See and steer")
app.add_typer(studies.app, name="studies", rich_help_panel="See and steer")
app.add_typer(retention.app, name="retention", rich_help_panel="See and steer")
app.add_typer(models.app, name="models", rich_help_panel="See and steer")
app.add_typer(audit.app, name="audit", rich_help_panel="See and steer")
app.add_typer(config.app, name="config", rich_help_panel="Set up")
app.add_typer(config.db, name="db", rich_help_panel="Set up")


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
