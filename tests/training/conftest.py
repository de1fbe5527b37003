import dataclasses
import os
from pathlib import Path

import pytest
import torch

from cad_node.training.evaluate import evaluate
from cad_node.training.nodule_network import NoduleNetwork
from cad_node.training.recipes import Recipe, find_recipe
from cad_node.training.train import train
from tests.training.small_run import make_patch_folder, settle_fast


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Equal weights from equal seeds, and no fight for cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def patch_folder(tmp_path_factory) -> Path:
    return make_patch_folder(tmp_path_factory.mktemp("patches") / "set")


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """The shipped model's, for any data."""
    return dataclasses.replace(find_recipe("lung_nodule_ct"), sha256={}, network=lambda: settle_fast(NoduleNetwork()))


@pytest.fixture(scope="session")
def checkpoint(recipe, patch_folder, tmp_path_factory) -> Path:
    """Trained for a few epochs and evaluated: metrics.json lies beside it."""
    file = train(recipe, patch_folder, tmp_path_factory.mktemp("training"), epochs=12, seed=1)
    evaluate(recipe, file, patch_folder)
    return file


@pytest.fixture(scope="session")
def luna_patches() -> Path:
    """The published patches."""
    if "CAD_NODE_DATA" not in os.environ:
        pytest.skip("CAD_NODE_DATA is unset: the folder of real data sets")
    folder = Path(os.environ["CAD_NODE_DATA"]) / "luna16_patches2d"
    if not folder.is_dir():
        pytest.skip(f"{folder} isn't there")
    return folder
