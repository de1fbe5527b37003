"""train, evaluate, export: how the shipped models are made again."""

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


@app.command()
def train(
    model: ModelName,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoints and logs.")] = Path("build/training"),
    epochs: Annotated[int, typer.Option(min=1, help="At most so many; training stops early when validation no longer gains.")] = 40,
    seed: int = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoint in OUT.")] = False,
) -> None:
    """Train MODEL on the training split in DATA, watched on its validation split."""
    checkpoint = _recipe(model).train(data, out, epochs=epochs, seed=seed, device=device, resume=resume)
    console.print(f"best checkpoint: {checkpoint}\nnext: cad-node evaluate {model} --checkpoint {checkpoint} --data {data}")


@app.command()
def evaluate(
    model: ModelName,
    checkpoint: Annotated[Path, typer.Option(help="What `train` wrote.")],
    data: Data,
) -> None:
    """Measure a checkpoint of MODEL once on the test split; writes metrics.json beside it."""
    metrics = _recipe(model).evaluate(checkpoint, data)
    console.print(metrics)
    console.print(f"next: cad-node export {model} --checkpoint {checkpoint} --version X.Y.Z")


@app.command()
def export(
    model: ModelName,
    checkpoint: Annotated[Path, typer.Option(help="What `train` wrote, with metrics.json beside it.")],
    version: Annotated[str, typer.Option(help="Version of the model folder to write.")],
    models_dir: Annotated[Path, typer.Option(help="Folder of model folders.")] = Path("models"),
) -> None:
    """Write MODEL as a model folder: ONNX graph with its preprocessing, manifest, golden case and card."""
    console.print(f"wrote {_recipe(model).export(checkpoint, checkpoint.parent / 'metrics.json', models_dir, version)}")
