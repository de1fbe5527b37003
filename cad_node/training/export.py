"""Write a model folder: the graph with its preprocessing, what it means, its card, and the golden case that guards it."""

import hashlib
import logging
import warnings
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from cad_node.errors import CadNodeError
from cad_node.manifest import read_manifest
from cad_node.training.calibration import CalibratedNetwork, Calibration
from cad_node.training.card import fill_card
from cad_node.training.checkpoint import Checkpoint, restore_network
from cad_node.training.metrics import MIN_SENSITIVITY, Metrics, read_metrics, write_metrics
from cad_node.training.recipes import Recipe

OPSET = 20
PARITY = 1e-5


class ExportError(CadNodeError):
    """The model folder can't be written, or its graph doesn't do what the network does."""


def export(recipe: Recipe, checkpoint: Path, metrics: Path, models_dir: Path, version: str) -> Path:
    """Write models_dir/<name>/<version> and return it.

    metrics: metrics.json that `evaluate` wrote for this checkpoint.
    Raises ExportError if the version exists or the ONNX graph's scores differ from the network's, CheckpointError, ManifestError.
    """
    folder = models_dir / recipe.name / version
    if folder.exists():
        raise ExportError(f"{folder}: exists; a released version stays as it is, name the next one")
    measured = read_metrics(metrics)
    state = Checkpoint.load(checkpoint)
    if (state.plan.recipe, state.epoch, state.plan.seed) != (measured.recipe, measured.best_epoch, measured.seed):
        raise ExportError(f"{metrics}: measured on another checkpoint than {checkpoint}; run `cad-node evaluate` on this one")
    network = CalibratedNetwork(restore_network(recipe, state), Calibration(measured.calibration_scale, measured.calibration_offset)).eval()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=models_dir) as temporary:  # the folder appears whole or not at all
        unfinished = Path(temporary) / recipe.name / version
        _write_folder(recipe, network, measured, version, unfinished)
        read_manifest(unfinished)
        unfinished.rename(folder)
    return folder


def _write_folder(recipe: Recipe, network: nn.Module, measured: Metrics, version: str, folder: Path) -> None:
    (folder / "golden").mkdir(parents=True)
    patches = recipe.golden_patches()
    _write_graph(network, patches, folder / "model.onnx")
    _write_golden(network, patches, folder)
    _write_manifest(recipe, measured, version, folder)
    (folder / "MODEL_CARD.md").write_text(fill_card(recipe.texts / "MODEL_CARD.md", measured, version), encoding="utf-8")
    write_metrics(measured, folder / "metrics.json")


def _write_graph(network: nn.Module, patches: NDArray[np.float32], file: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision isn't there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's exporter copies a class that torch deprecates
        program = torch.onnx.export(
            network,
            (torch.from_numpy(patches),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["patches"],
            output_names=["scores"],
            dynamic_shapes={"patches": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    if program is None:
        raise ExportError(f"{file}: torch.onnx.export gave no program")
    onnx.save(_without_traces(program.model_proto), file)


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without the exporter's notes on where in whose source tree each node came from: not to be shipped, nor the same twice."""
    graph = model.graph
    for noted in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del noted.metadata_props[:]
        noted.doc_string = ""
    return model


def _write_golden(network: nn.Module, patches: NDArray[np.float32], folder: Path) -> None:
    """Scores by the graph as it was written, after they were compared with the network's."""
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    (scores,) = session.run(["scores"], {"patches": patches})
    with torch.inference_mode():
        expected = network(torch.from_numpy(patches)).numpy()
    difference = float(np.abs(scores - expected).max())
    if difference > PARITY:
        raise ExportError(f"{folder / 'model.onnx'}: scores differ from the network's by {difference:.1e}, limit {PARITY:.0e}")
    np.save(folder / "golden" / "inputs.npy", patches)
    np.save(folder / "golden" / "outputs.npy", scores)


def _write_manifest(recipe: Recipe, metrics: Metrics, version: str, folder: Path) -> None:
    text = Template((recipe.texts / "model.toml").read_text(encoding="utf-8")).substitute(
        version=version,
        sha256=hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(),
        threshold=f"{metrics.threshold:.6f}",
        min_sensitivity=f"{MIN_SENSITIVITY:.0%}",
    )
    (folder / "model.toml").write_text(text, encoding="utf-8")
