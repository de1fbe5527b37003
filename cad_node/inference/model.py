"""A model folder made ready to run: its session open, its graph and its golden case checked."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from cad_node.errors import DeviceFailed, ManifestError, ProviderMissing
from cad_node.inference.session import CPU, open_session
from cad_node.manifest import Manifest, ModelFolder


@dataclass(frozen=True, slots=True)
class Model:
    manifest: Manifest
    session: onnxruntime.InferenceSession

    def score(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """patches: (N, 1, P, P) float32, HU. Returns (N,) scores, 0..1. Raises DeviceFailed if an accelerator does."""
        graph = self.manifest.graph
        try:
            (scores,) = self.session.run([graph.output], {graph.input: patches})
        except Exception as exc:
            if self.session.get_providers()[0] == CPU:
                raise
            raise DeviceFailed(f"{self.session.get_providers()[0]}: {type(exc).__name__} while running {self.manifest.name}") from exc
        return np.asarray(scores, np.float32)


def load_model(folder: ModelFolder, device: str, threads: int = 0) -> Model:
    """Open the session on `device`, check that the graph has the manifest's input and output, run the golden case.

    Raises ManifestError naming the file and the key; ProviderMissing if the device can't be had.
    """
    manifest, file = folder.manifest, folder.path / folder.manifest.graph.file
    try:
        session = open_session(file, device, threads)
    except ProviderMissing:
        raise
    except Exception as exc:  # ONNX Runtime raises a class of its own for each way a file can be wrong
        raise ManifestError(file, "graph.file", f"ONNX Runtime can't load it: {exc}") from exc
    model = Model(manifest, session)
    _check_graph(folder.path / "model.toml", model)
    _check_golden(folder.path, model)
    return model


def _check_graph(file: Path, model: Model) -> None:
    graph = model.manifest.graph
    inputs = {node.name: tuple(node.shape) for node in model.session.get_inputs()}
    if set(inputs) != {graph.input}:
        raise ManifestError(file, "graph.input", f"says {graph.input!r}, the graph's inputs are {sorted(inputs)}")
    shape = inputs[graph.input]
    fixed = [(said, found) for said, found in zip(graph.input_shape, shape, strict=False) if isinstance(said, int)]
    if len(shape) != len(graph.input_shape) or any(said != found for said, found in fixed):
        raise ManifestError(file, "graph.input_shape", f"says {list(graph.input_shape)}, the graph's is {list(shape)}")
    size = model.manifest.patches.size_px
    if graph.input_shape[1:] != (1, size, size):
        raise ManifestError(file, "patches.size_px", f"says {size}, graph.input_shape {list(graph.input_shape)}")
    outputs = [node.name for node in model.session.get_outputs()]
    if graph.output not in outputs:
        raise ManifestError(file, "graph.output", f"says {graph.output!r}, the graph's outputs are {outputs}")


def _check_golden(folder: Path, model: Model) -> None:
    golden, file = model.manifest.golden, folder / "model.toml"
    try:
        inputs, expected = np.load(folder / golden.inputs), np.load(folder / golden.outputs)
    except (OSError, ValueError, EOFError) as exc:
        raise ManifestError(file, "golden", f"can't be read: {exc}") from exc
    try:
        scores = model.score(inputs)
    except Exception as exc:  # wrong shape, wrong type, or a device that can't: each is a reason not to run the model
        raise ManifestError(file, "golden.inputs", f"the graph can't run them: {exc}") from exc
    if scores.shape != expected.shape:
        raise ManifestError(file, "golden.outputs", f"have the shape {expected.shape}, the graph gives {scores.shape}")
    difference = float(np.max(np.abs(scores - expected), initial=0.0))
    if not difference <= golden.tolerance or not scores.size:  # NaN must fail too
        why = f"{scores.size} outputs differ by {difference:.2g}, allowed {golden.tolerance:.2g}; this device or runtime doesn't fit"
        raise ManifestError(file, "golden.tolerance", why)
