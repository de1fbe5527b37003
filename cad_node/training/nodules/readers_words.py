"""Readers' ratings in words, for tables."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def texture_words(ratings: NDArray[Any]) -> NDArray[np.str_]:
    """(N,) medians of 1 (ground glass) to 5 (solid), as words."""
    return np.select([ratings <= 2, ratings < 4.5], ["ground glass", "part-solid"], "solid")
