"""How far two masks agree."""

import numpy as np
from numpy.typing import NDArray


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Twice the shared pixels over the pixels of both, 0..1; 1 where both masks are empty. Raises ValueError on different shapes."""
    if a.shape != b.shape:
        raise ValueError(f"masks of {a.shape} and {b.shape} can't be compared")
    pixels = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / pixels if pixels else 1.0
