"""How good a nodule patch classifier is."""

from cad_node.training.metrics import Evaluation
from cad_node.training.recipe import Trained


def evaluate_luna(trained: Trained) -> Evaluation:
    raise NotImplementedError
