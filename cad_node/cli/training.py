"""train, evaluate, export, report: how the shipped models are made again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cad_node.cli.context import console
from cad_node.cli.tables import add, narrow, table
from cad_node.errors import CadNodeError

if TYPE_CHECKING:
    from cad_node.training.metrics import Metrics

app = typer.Typer()

RUNS = Path("build/training")

ModelName = Annotated[str, typer.Argument(help="A trainable model, for instance lung_nodule_ct.")]
Data = Annotated[Path, typer.Option("--data", help="Folder (or archive) of the training data, in any format that the model reads.")]
Run = Annotated[Path | None, typer.Option("--run", help="Folder of the training run; build/training/MODEL if left out.")]
ModelsDir = Annotated[Path, typer.Option(help="Folder of model folders.")]


class TrainingMissing(CadNodeError):
    """The training extra isn't installed."""


@app.command(epilog="Example: cad-node train lung_nodule_ct --data /data/luna16_patches2d")
def train(
    model: ModelName,
    data: Data,
    *,
    run: Run = None,
    member: Annotated[list[int] | None, typer.Option(help="Train only this member of the ensemble (from 0); repeatable.")] = None,
    epochs: Annotated[int, typer.Option(min=0, help="At most so many; 0 takes the recipe's. Training stops early on validation.")] = 0,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda; on cuda in mixed precision.")] = "cpu",
    resume: Annotated[bool, typer.Option(help="Go on from the last checkpoints of the run.")] = False,
) -> None:
    """Train MODEL on the training split in DATA, watched on its validation split; TensorBoard shows the run's folder."""
    with _training_extra():
        from cad_node.training.recipes import find_recipe
        from cad_node.training.train import train as train_recipe
    recipe = find_recipe(model)
    out = train_recipe(recipe, data, run or RUNS / model, members=member or (), epochs=epochs, seed=seed, device=device, resume=resume)
    console.print(f"checkpoints in {out}\nnext: cad-node evaluate {model} --data {data}")


@app.command(epilog="Example: cad-node evaluate lung_nodule_ct --data /data/luna16_patches2d")
def evaluate(model: ModelName, data: Data, run: Run = None) -> None:
    """Choose MODEL's parameters on validation data and measure it once on the test split; writes metrics.json and pictures to the run."""
    with _training_extra():
        from cad_node.training.evaluate import evaluate as evaluate_recipe
        from cad_node.training.recipes import find_recipe
    recipe = find_recipe(model)
    _print(evaluate_recipe(recipe, run or RUNS / model, data))
    console.print(f"next: cad-node export {model} --version X.Y.Z --data {data}")


@app.command(epilog="Example: cad-node export lung_nodule_ct --version 2.1.0 --data /data/luna16_patches2d")
def export(
    model: ModelName,
    version: Annotated[str, typer.Option(help="Version of the model folder to write.")],
    data: Annotated[Path | None, typer.Option("--data", help="Compare graph and network on real inputs of this data too.")] = None,
    run: Run = None,
    models_dir: ModelsDir = Path("models"),
) -> None:
    """Write MODEL as a model folder: ONNX graphs (32 and 16 bit) with their preprocessing, manifest, golden cases and card."""
    with _training_extra():
        from cad_node.training.export import export as export_recipe
        from cad_node.training.recipes import find_recipe
    folder = export_recipe(find_recipe(model), run or RUNS / model, models_dir, version, data)
    console.print(f"wrote {folder}; check it with: cad-node models verify")


@app.command(epilog="Example: cad-node report lung_nodule_ct")
def report(model: ModelName, models_dir: ModelsDir = Path("models")) -> None:
    """Show what was measured of MODEL's newest version, and write its MODEL_CARD.md again from metrics.json."""
    with _training_extra():
        from cad_node.manifest import newest_version
        from cad_node.training.export import write_card
        from cad_node.training.recipes import find_recipe
    folder = newest_version(models_dir / model)
    _print(write_card(find_recipe(model), folder))
    console.print(f"wrote {folder / 'MODEL_CARD.md'}")


def _print(metrics: "Metrics") -> None:
    from cad_node.training.card import value_with_interval

    figures = table(f"{metrics.recipe}: measured", "figure", narrow("data"), narrow("value (95 % CI)"), narrow("of"))
    for figure in metrics.evaluation.figures:
        add(figures, figure.name, figure.split, value_with_interval(figure), f"{figure.count:,} {figure.of}")
    console.print(figures)
    for one in metrics.evaluation.tables:
        shown = table(one.title, *one.columns, caption=one.note or None)
        for row in one.rows:
            add(shown, *row)
        console.print(shown)


@contextmanager
def _training_extra() -> Iterator[None]:
    """torch is imported by these commands alone, and is not part of a serving node."""
    try:
        yield
    except ModuleNotFoundError as exc:
        raise TrainingMissing(f"{exc.name} isn't installed; pip install -c constraints.txt 'cad-node[train]'") from exc
