"""ONNX graphs: written from a torch module, made smaller, run."""

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import nn

from cad_node.training.recipe import Recipe

OPSET = 20


def write_graph(served: nn.Module, inputs: NDArray[np.float32], recipe: Recipe, file: Path) -> None:
    """The module as a graph with the recipe's names; its dynamic axes take any length."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision isn't there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's exporter copies a class that torch deprecates
        program = torch.onnx.export(
            served,
            (torch.from_numpy(inputs),),
            dynamo=True,
            opset_version=OPSET,
            input_names=[recipe.input],
            output_names=list(recipe.outputs),
            dynamic_shapes=(dict.fromkeys(recipe.axes, torch.export.Dim.DYNAMIC),),
            verbose=False,
        )
    assert program is not None, "torch.onnx.export gives a program when dynamo is asked for"
    onnx.save(_without_traces(program.model_proto), file)


def write_half(graph: Path, file: Path) -> None:
    """The same graph with 16-bit weights and sums; inputs and outputs stay 32-bit."""
    onnx.save(_without_traces(convert_float_to_float16(onnx.load(graph), keep_io_types=True)), file)


def run_graph(file: Path, recipe: Recipe, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    arrays = session.run(list(recipe.outputs), {recipe.input: inputs})
    return {name: np.asarray(array, np.float32) for name, array in zip(recipe.outputs, arrays, strict=True)}


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without the exporter's notes on where in whose source tree each node came from: not to be shipped, nor the same twice."""
    graph = model.graph
    for noted in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del noted.metadata_props[:]
        noted.doc_string = ""
    return model
