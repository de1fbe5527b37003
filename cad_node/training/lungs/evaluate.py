from cad_node.training.metrics import Evaluation
from cad_node.training.recipe import Trained
def evaluate(trained: Trained) -> Evaluation:
    raise NotImplementedError
