"""One network as a task sees it, and the ONNX Runtime session behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from cad_node.errors import DeviceFailed, ManifestError, ProviderMissing
from cad_node.inference.session import CPU, open_session
from cad_node.manifest import Golden, PartFolder

Arrays = dict[str, NDArray[np.float32]]


class Network(Protocol):
    """parameters: the numbers of model.toml; a missing one raises ManifestError."""

    @property
    def parameters(self) -> Mapping[str, float]: ...

    def run(self, inputs: NDArray[np.float32]) -> Arrays:
        """inputs: (N, …) float32, as the graph takes them. Returns the outputs by name."""
        ...


class Parameters(dict[str, float]):
    """Numbers of one model.toml; asking for one that isn't there says which file lacks it."""

    def __init__(self, file: Path, numbers: Mapping[str, float]) -> None:
        super().__init__(numbers)
        self.file = file

    def __missing__(self, key: str) -> float:
        raise ManifestError(self.file, f"parameters.{key}", "missing, and the task needs it")


@dataclass(frozen=True, slots=True)
class SessionNetwork:
    name: str
    parameters: Parameters
    input: str
    outputs: tuple[str, ...]
    session: onnxruntime.InferenceSession

    def run(self, inputs: NDArray[np.float32]) -> Arrays:
        """Raises DeviceFailed if an accelerator does."""
        try:
            arrays = self.session.run(list(self.outputs), {self.input: inputs})
        except Exception as exc:
            if self.session.get_providers()[0] == CPU:
                raise
            raise DeviceFailed(f"{self.session.get_providers()[0]}: {type(exc).__name__} while running {self.name}") from exc
        return {name: np.asarray(array, np.float32) for name, array in zip(self.outputs, arrays, strict=True)}


def load_network(folder: PartFolder, device: str, threads: int = 0, *, half: bool = False) -> SessionNetwork:
    """Open the session on `device`, check that the graph has what model.toml says, run the golden case.

    half: the 16-bit graph where the folder has one.
    Raises ManifestError naming the file and the key; ProviderMissing if the device can't be had.
    """
    part = folder.part
    table, graph_file, golden = "graph", part.graph.file, part.golden
    if half and part.half:
        table, graph_file, golden = "half", part.half.file, part.half.golden
    file = folder.path / graph_file
    try:
        session = open_session(file, device, threads)
    except ProviderMissing:
        raise
    except Exception as exc:  # ONNX Runtime raises a class of its own for each way a file can be wrong
        raise ManifestError(file, f"{table}.file", f"ONNX Runtime can't load it: {exc}") from exc
    toml = folder.path / "model.toml"
    network = SessionNetwork(part.name, Parameters(toml, part.parameters), part.graph.input, part.graph.outputs, session)
    _check_graph(toml, folder, network)
    _check_golden(folder.path, golden, network)
    return network


def _check_graph(file: Path, folder: PartFolder, network: SessionNetwork) -> None:
    graph = folder.part.graph
    inputs = {node.name: tuple(node.shape) for node in network.session.get_inputs()}
    if set(inputs) != {graph.input}:
        raise ManifestError(file, "graph.input", f"says {graph.input!r}, the graph's inputs are {sorted(inputs)}")
    shape = inputs[graph.input]
    fixed = [(said, found) for said, found in zip(graph.input_shape, shape, strict=False) if isinstance(said, int)]
    if len(shape) != len(graph.input_shape) or any(said != found for said, found in fixed):
        raise ManifestError(file, "graph.input_shape", f"says {list(graph.input_shape)}, the graph's is {list(shape)}")
    outputs = [node.name for node in network.session.get_outputs()]
    missing = [name for name in graph.outputs if name not in outputs]
    if missing:
        raise ManifestError(file, "graph.outputs", f"names {', '.join(missing)}; the graph's outputs are {outputs}")


def _check_golden(folder: Path, golden: Golden, network: SessionNetwork) -> None:
    file = folder / "model.toml"
    try:
        inputs = np.load(folder / golden.inputs)
        with np.load(folder / golden.outputs) as stored:
            expected = {name: stored[name] for name in network.outputs}
    except (OSError, ValueError, EOFError, KeyError) as exc:
        raise ManifestError(file, "golden", f"can't be read: {exc}") from exc
    try:
        found = network.run(inputs)
    except Exception as exc:  # wrong shape, wrong type, or a device that can't: each is a reason not to run the model
        raise ManifestError(file, "golden.inputs", f"the graph can't run them: {exc}") from exc
    for name, wanted in expected.items():
        if found[name].shape != wanted.shape:
            raise ManifestError(file, "golden.outputs", f"{name} has the shape {wanted.shape}, the graph gives {found[name].shape}")
        difference = float(np.max(np.abs(found[name] - wanted), initial=0.0))
        if not difference <= golden.tolerance or not wanted.size:  # NaN must fail too
            why = f"{name} differs by {difference:.2g}, allowed {golden.tolerance:.2g}; this device or runtime doesn't fit"
            raise ManifestError(file, "golden.tolerance", why)
