"""Networks and models made ready to run: the device that was asked for, a graph that fits, a golden case that holds."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from cad_node.errors import ManifestError, ProviderMissing
from cad_node.inference.model import OWN, load_model
from cad_node.inference.network import load_network
from cad_node.inference.session import open_session
from cad_node.manifest import PartFolder, read_model, read_part
from tests.shipped_models import LUNG_NODULES, every_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(LUNG_NODULES, tmp_path / LUNG_NODULES.parent.name / LUNG_NODULES.name)


def edit(folder: Path, old: str, new: str) -> None:
    file = folder / "model.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def load(folder: Path):
    return load_network(PartFolder(folder, read_part(folder)), "cpu", 1)


@pytest.mark.parametrize("half", [False, True], ids=["32 bit", "16 bit"])
@pytest.mark.parametrize("folder", every_folder(), ids=lambda folder: folder.parent.name)
def test_every_shipped_network_passes_its_golden_case(folder, half):
    part = read_part(folder)

    network = load_network(PartFolder(folder, part), "cpu", 1, half=half)

    assert part.half
    assert set(network.outputs) == set(part.graph.outputs)


def test_the_shipped_model_has_its_own_network_and_those_of_its_parts():
    model = load_model(read_model(LUNG_NODULES), "cpu", 1)

    assert set(model.networks) == {OWN, "lungs", "outline", "malignancy"}


def test_the_nodule_network_scores_any_batch(folder):
    scores = load(folder).run(np.full((3, 1, 50, 50), -900, np.float32))["scores"]

    assert scores.shape == (3,)
    assert scores.dtype == np.float32
    assert np.all((scores >= 0) & (scores <= 1))


def test_a_number_that_model_toml_lacks_is_named_when_a_task_asks_for_it(folder):
    network = load(folder)

    with pytest.raises(ManifestError, match=r"model\.toml: parameters\.loudness: missing"):
        network.parameters["loudness"]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('input = "patches"', 'input = "images"', "graph.input"),
        ('["batch", 1, 50, 50]', '["batch", 1, 64, 64]', "graph.input_shape"),
        ('["batch", 1, 50, 50]', '["batch", 1, 50]', "graph.input_shape"),
        ('"scores"', '"probabilities"', "graph.outputs"),
    ],
)
def test_a_graph_that_does_not_fit_the_manifest_is_named_by_key(folder, old, new, key):
    edit(folder, old, new)

    with pytest.raises(ManifestError) as error:
        load(folder)

    assert error.value.key == key


def test_a_golden_case_that_does_not_hold_keeps_the_model_from_running(folder):
    file = folder / "golden" / "outputs.npz"
    outputs = dict(np.load(file))
    np.savez(file, **{**outputs, "scores": outputs["scores"] + 0.01})

    with pytest.raises(ManifestError, match="golden"):
        load(folder)


def test_a_missing_golden_case_keeps_the_model_from_running(folder):
    shutil.rmtree(folder / "golden")

    with pytest.raises(ManifestError, match="golden"):
        load(folder)


@pytest.mark.parametrize(
    ("file", "array", "key"),
    [
        ("inputs", np.zeros((2, 1, 64, 64), np.float32), "golden.inputs"),
        ("inputs", np.zeros((2, 1, 50, 50), np.float64), "golden.inputs"),
        ("outputs", np.zeros(3, np.float32), "golden.outputs"),
    ],
)
def test_a_golden_case_that_does_not_fit_the_graph_is_named(folder, file, array, key):
    if file == "inputs":
        np.save(folder / "golden" / "inputs.npy", array)
    else:
        np.savez(folder / "golden" / "outputs.npz", **{**np.load(folder / "golden" / "outputs.npz"), "scores": array})

    with pytest.raises(ManifestError) as error:
        load(folder)

    assert error.value.key == key


def test_an_empty_golden_file_is_said(folder):
    (folder / "golden" / "inputs.npy").write_bytes(b"")

    with pytest.raises(ManifestError, match="golden"):
        load(folder)


NO_OUTPUT = onnx.helper.make_model(
    onnx.helper.make_graph([onnx.helper.make_node("Nonsense", ["a"], ["b"])], "g", [], [])
).SerializeToString()


@pytest.mark.parametrize("content", [b"not a graph", NO_OUTPUT], ids=["not protobuf", "not a valid graph"])
def test_a_file_that_is_no_onnx_graph_is_said(folder, content):
    old = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "model.onnx").write_bytes(content)
    edit(folder, old, hashlib.sha256(content).hexdigest())

    with pytest.raises(ManifestError, match=r"model\.onnx: graph\.file"):
        load(folder)


def test_an_unknown_device_is_refused():
    with pytest.raises(ProviderMissing, match="quantum"):
        open_session(LUNG_NODULES / "model.onnx", "quantum:0")


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA")
def test_asking_for_a_gpu_that_this_runtime_has_not_is_an_error_not_a_slow_success():
    with pytest.raises(ProviderMissing, match="CUDAExecutionProvider"):
        open_session(LUNG_NODULES / "model.onnx", "cuda:0")


def test_a_runtime_that_lists_cuda_but_falls_back_to_the_cpu_is_an_error(monkeypatch):
    # onnxruntime-gpu on a machine without a GPU does exactly this.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])

    with pytest.warns(UserWarning, match="CUDAExecutionProvider"), pytest.raises(ProviderMissing, match="uses CPUExecutionProvider"):
        open_session(LUNG_NODULES / "model.onnx", "cuda:0")
