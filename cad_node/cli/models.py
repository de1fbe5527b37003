"""models: the model folders, listed and verified."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cad_node.cli.context import EX_FAILED, AsJson, console, print_json, settings
from cad_node.cli.tables import add, narrow, table
from cad_node.errors import ManifestError

if TYPE_CHECKING:
    from cad_node.manifest import ModelFolder

app = typer.Typer(no_args_is_help=True, help="See and check the models.")


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    version: str
    title: str
    task: str
    modality: tuple[str, ...]
    parts: tuple[str, ...]
    path: str


@app.command("list", epilog="Example: cad-node models list --json")
def list_models(as_json: AsJson = False) -> None:
    """List the models that the node will run; what is wrong with any that it can't goes to standard error."""
    from cad_node.manifest import read_models

    chosen = settings().models
    folders, errors = read_models(chosen.dir, chosen.enabled)
    rows = [_row(folder) for folder in folders]
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        shown = table(f"Models in {chosen.dir}", narrow("model"), narrow("takes"), narrow("task"), "title")
        for row in rows:
            add(shown, f"{row.name} {row.version}", " ".join(row.modality), row.task, row.title)
        console.print(shown)
    _report(errors)


@app.command(epilog="Example, on a GPU: cad-node models verify --device cuda:0")
def verify(
    device: Annotated[str, typer.Option(help="cpu, cuda:0, tensorrt:0 or openvino.")] = "cpu",
    precision: Annotated[Literal["fp32", "fp16"], typer.Option(help="fp16: the 16-bit graphs where there are some.")] = "fp32",
) -> None:
    """Run the golden case of every model and part on DEVICE, used or not; exits with 1 if any fails, naming the file and the key."""
    from cad_node.inference.network import load_network
    from cad_node.manifest import PartFolder, every_folder, read_models, read_part

    chosen = settings()
    folders, errors = read_models(chosen.models.dir, chosen.models.enabled)
    failed = {str(error): error for error in errors}
    for path in every_folder(chosen.models.dir):
        try:
            load_network(PartFolder(path, read_part(path)), device, chosen.worker.threads, half=precision == "fp16")
        except ManifestError as error:
            failed[str(error)] = error  # once, if reading the models met it too
        else:
            console.print(f"[green]ok[/] SHA-256, graph and golden case on {device}: {path.parent.name}/{path.name}")
    _report(failed.values())
    if not folders and not failed:
        typer.echo(f"no model in {chosen.models.dir}: it holds no <name>/<version>/model.toml", err=True)
    raise typer.Exit(EX_FAILED if failed or not folders else 0)


def _row(folder: "ModelFolder") -> Row:
    manifest = folder.manifest
    takes, parts = manifest.accepts.modality, tuple(manifest.parts.values())
    return Row(manifest.name, manifest.version, manifest.title, manifest.task, takes, parts, str(folder.path))


def _report(errors: Iterable[ManifestError]) -> None:
    for error in errors:
        typer.echo(f"unusable: {error}", err=True)
