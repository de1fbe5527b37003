"""Write a model folder: the graph with its preprocessing, what it means, its card, and the golden case that guards it."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cad_node.errors import CadNodeError
from cad_node.manifest import read_part
from cad_node.training.card import fill_card
from cad_node.training.checkpoint import load_members, restore
from cad_node.training.graph import run_graph, write_graph, write_half
from cad_node.training.metrics import Metrics, read_metrics, write_metrics
from cad_node.training.recipe import Recipe
from cad_node.training.samples import Split

PARITY = 1e-5
HALF_TOLERANCE = 0.02  # of another device's 16-bit sums against those of the CPU
REAL_INPUTS = 64

Arrays = Mapping[str, NDArray[np.float32]]


class ExportError(CadNodeError):
    """The model folder can't be written, or its graph doesn't do what the network does."""


def export(recipe: Recipe, run: Path, models_dir: Path, version: str, data: Path | None = None) -> Path:
    """Write models_dir/<name>/<version> and return it.

    run: what `train` wrote, with the metrics.json that `evaluate` wrote.
    data: where it is given, graph and network are compared on real validation inputs too.
    Raises ExportError if the version exists or the graph's outputs differ from the network's, CheckpointError, DataError, ManifestError.
    """
    folder = models_dir / recipe.name / version
    if folder.exists():
        raise ExportError(f"{folder}: exists; a released version stays as it is, name the next one")
    metrics = read_metrics(run / "metrics.json")
    checkpoints = load_members(recipe, run)
    if (recipe.name, tuple(c.epoch for c in checkpoints), checkpoints[0].plan.seed) != (metrics.recipe, metrics.epochs, metrics.seed):
        raise ExportError(f"{run / 'metrics.json'}: measured on other checkpoints than those in {run}; run `cad-node evaluate` again")
    served = recipe.served([restore(recipe, checkpoint) for checkpoint in checkpoints], metrics.evaluation.parameters).eval()
    models_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=models_dir) as temporary:  # the folder appears whole or not at all
        unfinished = Path(temporary) / recipe.name / version
        _write_folder(recipe, served, metrics, version, unfinished)
        if data:
            _compare_on_real_inputs(recipe, served, unfinished / "model.onnx", data)
        _copy_pictures(metrics, run / "pictures", unfinished / "pictures")
        read_part(unfinished)
        folder.parent.mkdir(exist_ok=True)
        unfinished.rename(folder)
    return folder


def write_card(recipe: Recipe, folder: Path) -> Metrics:
    """Write the folder's MODEL_CARD.md again from its metrics.json; returns what is in that."""
    metrics = read_metrics(folder / "metrics.json")
    (folder / "MODEL_CARD.md").write_text(fill_card(recipe.texts / "MODEL_CARD.md", metrics, folder.name), encoding="utf-8")
    return metrics


def _write_folder(recipe: Recipe, served: nn.Module, metrics: Metrics, version: str, folder: Path) -> None:
    (folder / "golden").mkdir(parents=True)
    inputs = recipe.golden()
    np.save(folder / "golden" / "inputs.npy", inputs)
    write_graph(served, inputs, recipe, folder / "model.onnx")
    outputs = run_graph(folder / "model.onnx", recipe, inputs)
    _check_parity(_outputs_of(served, inputs, recipe), outputs, folder / "model.onnx")
    _save(outputs, folder / "golden" / "outputs.npz")
    write_half(folder / "model.onnx", folder / "model.fp16.onnx")
    _save(run_graph(folder / "model.fp16.onnx", recipe, inputs), folder / "golden" / "outputs.fp16.npz")
    _write_manifest(recipe, metrics, version, folder)
    write_metrics(metrics, folder / "metrics.json")
    write_card(recipe, folder)


def _save(outputs: Arrays, file: Path) -> None:
    np.savez_compressed(file, allow_pickle=False, **dict(outputs))


def _outputs_of(served: nn.Module, inputs: NDArray[np.float32], recipe: Recipe) -> Arrays:
    with torch.inference_mode():
        values = served(torch.from_numpy(inputs))
    return {name: value.numpy() for name, value in zip(recipe.outputs, values, strict=True)}


def _check_parity(expected: Arrays, found: Arrays, file: Path) -> None:
    for name, wanted in expected.items():
        difference = float(np.abs(found[name] - wanted).max())
        if not difference <= PARITY:
            raise ExportError(f"{file}: {name} differs from the network's by {difference:.1e}, limit {PARITY:.0e}")


def _compare_on_real_inputs(recipe: Recipe, served: nn.Module, file: Path, data: Path) -> None:
    samples = recipe.read(data, Split.VALIDATION, recipe.members - 1)
    inputs = np.asarray(samples.inputs[:: max(1, len(samples) // REAL_INPUTS)][:REAL_INPUTS], np.float32)
    _check_parity(_outputs_of(served, inputs, recipe), run_graph(file, recipe, inputs), file)


def _write_manifest(recipe: Recipe, metrics: Metrics, version: str, folder: Path) -> None:
    parameters = "".join(f"{name} = {value:.6g}\n" for name, value in metrics.evaluation.parameters.items())
    text = Template((recipe.texts / "model.toml").read_text(encoding="utf-8")).substitute(
        version=version,
        sha256=_sha256(folder / "model.onnx"),
        parameters=f"[parameters]\n{parameters}",
        half=(
            f'[half]\nfile = "model.fp16.onnx"\nsha256 = "{_sha256(folder / "model.fp16.onnx")}"\n\n'
            f'[half.golden]\noutputs = "golden/outputs.fp16.npz"\ntolerance = {HALF_TOLERANCE}\n'
        ),
    )
    (folder / "model.toml").write_text(text, encoding="utf-8")


def _copy_pictures(metrics: Metrics, source: Path, destination: Path) -> None:
    destination.mkdir()
    for picture in metrics.evaluation.pictures:
        if not picture.shows_data:
            shutil.copy(source / picture.file, destination / picture.file)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
