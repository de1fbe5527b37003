"""Export: the folder, its graphs, what guards them, and the card."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from cad_node.inference.network import load_network
from cad_node.manifest import PartFolder, read_part
from cad_node.training.checkpoint import load_members, restore
from cad_node.training.export import ExportError, export, write_card
from cad_node.training.graph import run_graph
from cad_node.training.metrics import read_metrics
from cad_node.training.recipes import UnknownRecipe, find_recipe
from cad_node.training.samples import Split
from tests.training.small_recipe import SMALL, read

DATA = Path("drawn")


@pytest.fixture(scope="module")
def folder(small_run, tmp_path_factory):
    return export(SMALL, small_run, tmp_path_factory.mktemp("models"), "2.3.4", DATA)


def test_exported_folder_is_a_model_folder_with_the_parameters_that_evaluation_chose(folder):
    part = read_part(folder)

    assert (part.name, part.version) == ("small_discs", "2.3.4")
    assert part.parameters == {"threshold": 0.5}
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "MODEL_CARD.md",
        "dot.png",
        "inputs.npy",
        "metrics.json",
        "model.fp16.onnx",
        "model.onnx",
        "model.toml",
        "outputs.fp16.npz",
        "outputs.npz",
    ]


@pytest.mark.parametrize("half", [False, True], ids=["32 bit", "16 bit"])
def test_either_graph_passes_its_own_golden_case(folder, half):
    network = load_network(PartFolder(folder, read_part(folder)), "cpu", 1, half=half)

    outputs = network.run(np.load(folder / "golden" / "inputs.npy"))

    assert set(outputs) == {"scores", "brightness"}
    assert network.parameters["threshold"] == 0.5


def test_graph_of_16_bit_weights_is_another_and_smaller_in_its_weights(folder):
    whole, half = (onnx.load(folder / name) for name in ("model.onnx", "model.fp16.onnx"))

    types = {tensor.data_type for tensor in half.graph.initializer if len(tensor.dims) > 1}

    assert types == {onnx.TensorProto.FLOAT16}
    assert onnx.TensorProto.FLOAT16 not in {tensor.data_type for tensor in whole.graph.initializer}


def test_graphs_tell_nothing_of_the_machine_that_made_them(folder):
    for graph in ("model.onnx", "model.fp16.onnx"):
        content = (folder / graph).read_bytes()

        assert b"small_recipe" not in content
        assert str(Path.cwd()).encode() not in content


@pytest.mark.parametrize("batch", [1, 2, 7, 33])
def test_graph_takes_any_batch_and_scores_as_the_network_does(folder, small_run, batch):
    inputs = np.resize(read(DATA, Split.TEST, 0).inputs, (batch, 1, 16, 16)).astype(np.float32)
    served = SMALL.served([restore(SMALL, checkpoint) for checkpoint in load_members(SMALL, small_run)], {}).eval()

    scores = run_graph(folder / "model.onnx", SMALL, inputs)["scores"]

    with torch.inference_mode():
        assert scores == pytest.approx(served(torch.from_numpy(inputs))[0].numpy(), abs=1e-5)


def test_card_holds_every_figure_table_and_picture(folder):
    card = (folder / "MODEL_CARD.md").read_text()

    figure = read_metrics(folder / "metrics.json").evaluation.figure("test_accuracy")
    assert f"| Accuracy | test | {figure.value:.4g} (" in card
    assert "| disc | 8 |" in card
    assert "![A dot](pictures/dot.png)" in card
    assert "- Worst cases" in card  # which shows patients' images, and stays with the run
    assert "worst.png" not in card
    assert "$" not in card


def test_card_is_written_again_from_the_metrics_alone(folder):
    before = (folder / "MODEL_CARD.md").read_text()
    (folder / "MODEL_CARD.md").unlink()

    write_card(SMALL, folder)

    assert (folder / "MODEL_CARD.md").read_text() == before


def test_released_version_is_not_overwritten(folder, small_run):
    with pytest.raises(ExportError, match="a released version stays as it is"):
        export(SMALL, small_run, folder.parent.parent, "2.3.4")


def test_metrics_of_another_training_are_not_shipped(small_run, tmp_path):
    table = json.loads((small_run / "metrics.json").read_text())
    run = tmp_path / "run"
    run.mkdir()
    for member in small_run.glob("member-*"):
        (run / member.name).symlink_to(member)
    (run / "metrics.json").write_text(json.dumps({**table, "seed": table["seed"] + 1}))

    with pytest.raises(ExportError, match="measured on other checkpoints"):
        export(SMALL, run, tmp_path / "models", "1.0.0")


def test_graph_that_differs_from_the_network_is_not_shipped(small_run, tmp_path):
    class Unsteady(torch.nn.Module):
        """Gives other numbers in the graph, where the count of calls is frozen, than in torch."""

        calls = 0.0

        def __init__(self, networks, parameters) -> None:
            super().__init__()

        def forward(self, images):
            self.calls += 1.0
            brightness = images.mean((1, 2, 3)) / 1000
            return brightness * self.calls, brightness

    with pytest.raises(ExportError, match="differs from the network's"):
        export(dataclasses.replace(SMALL, served=Unsteady), small_run, tmp_path / "models", "1.0.0")
    assert not list((tmp_path / "models").rglob("*.onnx"))


def test_unknown_model_is_named_with_those_that_there_are():
    with pytest.raises(UnknownRecipe, match=r"brain_ct: no such trainable model; there is .*"):
        find_recipe("brain_ct")
