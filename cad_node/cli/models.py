"""models: the model folders, listed and verified."""

from dataclasses import dataclass
from typing import Annotated

import typer

from cad_node.cli.context import AsJson, console, settings, show
from cad_node.errors import ManifestError
from cad_node.inference.model import load_model
from cad_node.manifest import read_models

app = typer.Typer(no_args_is_help=True, help="See and check the models.")


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    version: str
    title: str
    task: str
    modality: str
    objects: str


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models that the node will run, and what is wrong with any that it can't."""
    chosen = settings().models
    folders, errors = read_models(chosen.dir, chosen.enabled)
    rows = [
        Row(m.name, m.version, m.title, m.task, " ".join(m.accepts.modality), " ".join(m.objects)) for m in (f.manifest for f in folders)
    ]
    show(rows, ("name", "version", "title", "task", "modality", "objects"), as_json, f"Models in {chosen.dir}")
    _report(errors)


@app.command()
def verify(
    device: Annotated[str, typer.Option(help="cpu, cuda:0, tensorrt:0 or openvino.")] = "cpu",
) -> None:
    """Load every model on DEVICE and run its golden case; exits with 1 if any fails."""
    chosen = settings()
    folders, errors = read_models(chosen.models.dir, chosen.models.enabled)
    failed = list(errors)
    for folder in folders:
        try:
            load_model(folder, device, chosen.worker.threads)
        except ManifestError as error:
            failed.append(error)
        else:
            console.print(f"[green]ok[/] {folder.manifest.name} {folder.manifest.version} on {device}: SHA-256, graph and golden case")
    _report(failed)
    raise typer.Exit(1 if failed or not folders else 0)


def _report(errors: tuple[ManifestError, ...] | list[ManifestError]) -> None:
    for error in errors:
        typer.echo(f"unusable: {error}", err=True)
