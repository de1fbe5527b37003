import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from cad_node.manifest import read_manifest
from cad_node.training.calibration import CalibratedNetwork, Calibration
from cad_node.training.checkpoint import Checkpoint, restore_network
from cad_node.training.export import ExportError, export
from cad_node.training.luna_patches import read_split
from cad_node.training.metrics import read_metrics
from cad_node.training.patch_set import Split
from cad_node.training.recipes import RECIPES, UnknownRecipe, find_recipe


@pytest.fixture(scope="module")
def folder(recipe, checkpoint, tmp_path_factory):
    return export(recipe, checkpoint, checkpoint.parent / "metrics.json", tmp_path_factory.mktemp("models"), "2.3.4")


@pytest.fixture(scope="module")
def session(folder):
    return onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])


def test_exported_folder_is_a_model_folder(folder, checkpoint):
    manifest = read_manifest(folder)

    assert (manifest.name, manifest.version, manifest.task) == ("lung_nodule_ct", "2.3.4", "detect_nodules")
    assert manifest.output.threshold == pytest.approx(read_metrics(checkpoint.parent / "metrics.json").threshold, abs=1e-6)
    assert len(manifest.output.meaning.value) <= 16  # Code Value is an SH
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "MODEL_CARD.md",
        "inputs.npy",
        "metrics.json",
        "model.onnx",
        "model.toml",
        "outputs.npy",
    ]


def test_graph_tells_nothing_of_the_machine_that_made_it(folder):
    content = (folder / "model.onnx").read_bytes()

    assert b"nodule_network.py" not in content
    assert str(Path.cwd()).encode() not in content


@pytest.mark.parametrize("batch", [1, 2, 7, 33])
def test_graph_takes_any_batch_and_scores_each_patch_by_itself(session, patch_folder, batch):
    patches = np.resize(read_split(patch_folder, Split.TEST).patches, (batch, 1, 50, 50))

    (scores,) = session.run(["scores"], {"patches": patches})

    alone = [session.run(["scores"], {"patches": patch[np.newaxis]})[0][0] for patch in patches]
    assert (scores.shape, scores.dtype) == ((batch,), np.float32)
    assert scores == pytest.approx(alone, abs=1e-5)


def test_graph_scores_as_the_network_does(session, recipe, checkpoint, patch_folder):
    measured = read_metrics(checkpoint.parent / "metrics.json")
    calibration = Calibration(measured.calibration_scale, measured.calibration_offset)
    network = CalibratedNetwork(restore_network(recipe, Checkpoint.load(checkpoint)), calibration).eval()
    patches = read_split(patch_folder, Split.TEST).patches

    (scores,) = session.run(["scores"], {"patches": patches})

    with torch.inference_mode():
        assert scores == pytest.approx(network(torch.from_numpy(patches)).numpy(), abs=1e-5)


def test_window_is_inside_the_graph(session, patch_folder):
    patches = read_split(patch_folder, Split.TEST).patches
    metal = np.where(patches > 350, np.float32(3000), patches)

    (clipped,) = session.run(["scores"], {"patches": np.clip(metal, -1000, 400)})
    (raw,) = session.run(["scores"], {"patches": metal})

    assert np.array_equal(clipped, raw)


def test_mirrored_patch_has_the_same_score(session, patch_folder):
    patches = read_split(patch_folder, Split.TEST).patches

    (scores,) = session.run(["scores"], {"patches": patches})
    (mirrored,) = session.run(["scores"], {"patches": np.ascontiguousarray(patches[..., ::-1])})

    assert mirrored == pytest.approx(scores, abs=1e-5)


def test_golden_outputs_are_the_graphs(folder, session):
    inputs, outputs = np.load(folder / "golden/inputs.npy"), np.load(folder / "golden/outputs.npy")

    (scores,) = session.run(["scores"], {"patches": inputs})

    assert inputs.shape == (16, 1, 50, 50)
    assert scores == pytest.approx(outputs, abs=1e-6)


def test_card_quotes_the_measured_figures_and_says_the_split_is_not_by_patient(folder, checkpoint):
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    test = json.loads((checkpoint.parent / "metrics.json").read_text())["test"]

    assert f"{test['roc_auc']:.4f}" in card
    assert "The split is not by patient" in card
    assert "$" not in card


def test_released_version_is_not_overwritten(recipe, checkpoint, folder):
    with pytest.raises(ExportError, match=r"2\.3\.4: exists"):
        export(recipe, checkpoint, checkpoint.parent / "metrics.json", folder.parent.parent, "2.3.4")


def test_metrics_of_another_checkpoint_are_refused(recipe, checkpoint, tmp_path):
    table = json.loads((checkpoint.parent / "metrics.json").read_text())
    (tmp_path / "metrics.json").write_text(json.dumps({**table, "seed": 99}))

    with pytest.raises(ExportError, match="measured on another checkpoint"):
        export(recipe, checkpoint, tmp_path / "metrics.json", tmp_path / "models", "1.0.0")


def test_recipes_are_found_by_name_and_an_unknown_one_lists_them():
    assert all(find_recipe(name).name == name for name in RECIPES)
    with pytest.raises(UnknownRecipe, match="lung_nodul: no such trainable model; there is lung_nodule_ct"):
        find_recipe("lung_nodul")
