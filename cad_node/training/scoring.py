"""Run a network over patches, without training it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

BATCH = 256


def score_logits(network: nn.Module, patches: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 1, P, P) HU -> (N,) logits."""
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        logits = [network(batch.to(device)).cpu() for batch in torch.split(torch.from_numpy(patches), BATCH)]
    return torch.cat(logits).numpy()
