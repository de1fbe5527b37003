from pathlib import Path

import pytest
import torch

from cad_node.training.evaluate import evaluate
from cad_node.training.train import train
from tests.training.small_recipe import SMALL


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Equal weights from equal seeds, and no fight for cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Path:
    """A run of the small recipe, trained and evaluated."""
    run = train(SMALL, Path("drawn"), tmp_path_factory.mktemp("training") / "run")
    evaluate(SMALL, run, Path("drawn"))
    return run
