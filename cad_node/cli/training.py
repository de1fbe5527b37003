"""train, evaluate, export: how the shipped models are made again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cad_node.cli.context import console
from cad_node.errors import CadNodeError

app = typer.Typer()

ModelName = Annotated[str, typer.Argument(help="A trainable model, for instance lung_nodule_ct.")]
Data = Annotated[Path, typer.Option("--data", help="Folder (or archive) of the training data.")]


class TrainingMissing(CadNodeError):
    """The training extra isn't installed."""


@app.command(epilog="Example: cad-node train lung_nodule_ct --data /data/luna16_patches2d")
def train(
    model: ModelName,
    data: Data,
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoints and logs.")] = Path("build/training"),
    epochs: Annotated[int, typer.Option(min=1, help="At most so many; training stops early when validation no longer gains.")] = 30,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint in OUT.")] = False,
) -> None:
    """Train MODEL on the training split in DATA, watched on its validation split."""
    with _training_extra():
        from cad_node.training.recipes import find_recipe
        from cad_node.training.train import train as train_recipe
    checkpoint = train_recipe(find_recipe(model), data, out, epochs=epochs, seed=seed, device=device, resume=resume)
    console.print(f"best checkpoint: {checkpoint}\nnext: cad-node evaluate {model} --checkpoint {checkpoint} --data {data}")


@app.command(epilog="Example: cad-node evaluate lung_nodule_ct --checkpoint build/training/best.pt --data /data/luna16_patches2d")
def evaluate(
    model: ModelName,
    checkpoint: Annotated[Path, typer.Option(help="What `train` wrote.")],
    data: Data,
) -> None:
    """Measure a checkpoint of MODEL once on the test split; writes metrics.json beside it."""
    with _training_extra():
        from cad_node.training.evaluate import evaluate as evaluate_recipe
        from cad_node.training.recipes import find_recipe
    console.print(evaluate_recipe(find_recipe(model), checkpoint, data))
    console.print(f"next: cad-node export {model} --checkpoint {checkpoint} --version X.Y.Z")


@app.command(epilog="Example: cad-node export lung_nodule_ct --checkpoint build/training/best.pt --version 1.1.0")
def export(
    model: ModelName,
    checkpoint: Annotated[Path, typer.Option(help="What `train` wrote, with metrics.json beside it.")],
    version: Annotated[str, typer.Option(help="Version of the model folder to write.")],
    models_dir: Annotated[Path, typer.Option(help="Folder of model folders.")] = Path("models"),
) -> None:
    """Write MODEL as a model folder: ONNX graph with its preprocessing, manifest, golden case and card."""
    with _training_extra():
        from cad_node.training.export import export as export_recipe
        from cad_node.training.recipes import find_recipe
    folder = export_recipe(find_recipe(model), checkpoint, checkpoint.parent / "metrics.json", models_dir, version)
    console.print(f"wrote {folder}; check it with: cad-node models verify")


@contextmanager
def _training_extra() -> Iterator[None]:
    """torch is imported by these commands alone, and is not part of a serving node."""
    try:
        yield
    except ModuleNotFoundError as exc:
        raise TrainingMissing(f"{exc.name} isn't installed; pip install -c constraints.txt 'cad-node[train]'") from exc
