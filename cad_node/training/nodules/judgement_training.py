"""How readers' opinions are learnt."""

import torch
from scipy.stats import spearmanr
from torch import Generator, Tensor
from torch.nn import functional

from cad_node.training.nodules.variants import draw_shifts, draw_turns, turn, vary_hu
from cad_node.training.recipe import Outputs, Predictions, Targets
from cad_node.training.samples import Samples

ZOOM = 0.1  # little, since size counts
SHIFT_PX = 3.0
SHARES = {"malignancy": 1.0, "texture": 0.3, "spiculation": 0.3, "calcification": 0.3}  # of the loss


def vary_judgements(slabs: Tensor, targets: Targets, generator: Generator) -> tuple[Tensor, Targets]:
    """Turned, zoomed a little, shifted, softened, noisy, and from either end: the opinion stays."""
    turns, shifts = draw_turns(len(slabs), ZOOM, generator), draw_shifts(len(slabs), 0.0, SHIFT_PX, generator)
    reverse = torch.rand(len(slabs), 1, 1, 1, generator=generator).to(slabs.device) < 0.5
    return vary_hu(turn(torch.where(reverse, slabs.flip(1), slabs), turns, shifts), generator), targets


def judgement_loss(outputs: Outputs, targets: Targets) -> Tensor:
    """Cross-entropy to the readers' mean, weighted by their number."""
    losses = [
        (share * functional.binary_cross_entropy_with_logits(outputs[name], targets[name], weight=targets["weight"]))
        for name, share in SHARES.items()
    ]
    return torch.stack(losses).sum()


def judgement_score(predictions: Predictions, samples: Samples) -> float:
    """Rank correlation with the readers' mean rating: steadier on some hundred nodules than an AUC on half of them."""
    return float(spearmanr(predictions["malignancy"], samples.targets["malignancy"]).statistic)
