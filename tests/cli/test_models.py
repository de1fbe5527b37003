"""models: what the node will run, and what is wrong with a folder, by file and key."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from cad_node.manifest import newest_version, read_model
from tests.cli.conftest import CadNode
from tests.shipped_models import LUNG_NODULES, MODELS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A copy of the shipped model and its parts, which the node is told to run."""
    monkeypatch.setenv("CAD_NODE_MODELS__DIR", str(tmp_path / "models"))
    for key in read_model(LUNG_NODULES).manifest.parts.values():
        shutil.copytree(MODELS / key, tmp_path / "models" / key)
    return shutil.copytree(LUNG_NODULES, tmp_path / "models" / LUNG_NODULES.parent.name / LUNG_NODULES.name)


def test_models_are_listed_with_what_they_take_and_make(cad_node: CadNode, folder: Path):
    (row,) = cad_node("models", "list", "--json").document

    assert (row["name"], row["version"], row["modality"]) == ("lung_nodule_ct", LUNG_NODULES.name, ["CT"])
    assert row["path"] == str(folder)
    assert f"lung_nodule_ct {LUNG_NODULES.name}" in cad_node("models", "list").out


def test_a_sound_model_is_verified_with_each_of_its_parts(cad_node: CadNode, folder: Path):
    verified = cad_node("models", "verify")

    assert (verified.status, verified.err) == (0, "")
    keys = [f"lung_nodule_ct/{LUNG_NODULES.name}", *read_model(LUNG_NODULES).manifest.parts.values()]
    assert verified.out.splitlines() == [f"ok SHA-256, graph and golden case on cpu: {key}" for key in sorted(keys)]


def test_a_part_that_no_model_uses_is_verified_too(cad_node: CadNode, folder: Path):
    unused = newest_version(shutil.copytree(MODELS / "lung_nodule_lidc_ct", folder.parents[1] / "lung_nodule_lidc_ct"))
    outputs = unused / "golden" / "outputs.npz"
    with np.load(outputs) as golden:
        np.savez(outputs, **{name: values + 0.1 for name, values in golden.items()})

    verified = cad_node("models", "verify")

    assert verified.status == 1
    assert verified.err.startswith(f"unusable: {unused}")
    assert "golden" in verified.err
    assert verified.err.count("\n") == 1


def test_a_changed_graph_fails_naming_file_and_key(cad_node: CadNode, folder: Path):
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"changed")

    verified, listed = cad_node("models", "verify"), cad_node("models", "list", "--json")

    assert verified.status == 1
    for ended in (verified, listed):
        assert ended.err.startswith(f"unusable: {folder / 'model.onnx'}: graph.sha256: ")
    assert listed.document == []


def test_a_graph_that_onnx_runtime_cannot_load_fails_without_traceback(cad_node: CadNode, folder: Path):
    graph, manifest = folder / "model.onnx", folder / "model.toml"
    before = hashlib.sha256(graph.read_bytes()).hexdigest()
    graph.write_bytes(graph.read_bytes()[:1000])
    manifest.write_text(manifest.read_text().replace(before, hashlib.sha256(graph.read_bytes()).hexdigest()))

    verified = cad_node("models", "verify")

    assert verified.status == 1
    assert verified.err.startswith(f"unusable: {graph}: graph.file: ")
    assert "Traceback" not in verified.err


def test_a_device_that_this_machine_lacks_is_an_error_in_one_line(cad_node: CadNode, folder: Path):
    verified = cad_node("models", "verify", "--device", "abacus")

    assert (verified.status, verified.out) == (78, "")
    assert verified.err.startswith("error: device 'abacus': unknown")
    assert verified.err.count("\n") == 1


def test_a_folder_without_models_is_a_failure_that_says_so(cad_node: CadNode, folder: Path):
    shutil.rmtree(folder.parents[1])
    folder.parents[1].mkdir()

    verified = cad_node("models", "verify")

    assert verified.status == 1
    assert verified.err.startswith(f"no model in {folder.parents[1]}")
