"""Whether a series has a hole, as far as the indexed headers tell."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cad_node.study import Instance, Series

_GAP_TOLERANCE = 0.1  # of the median gap; more, and the series is refused when it is loaded
_ROUNDING_MM = 0.11  # some scanners write positions with one decimal
_SAME_MM = 1e-3
_FIRST_NUMBERS = (0, 1)  # what scanners begin to count with


def hole_in(series: Series) -> str:
    """What is missing or there twice, as a phrase; empty if nothing tells of a hole.

    Positions tell of a hole between two images, never of one at an end of the stack; Instance Numbers tell of one at the
    end where counting began. So an empty answer is no proof that a series is whole.
    """
    return _hole_in_positions(series.instances) or _hole_in_numbers(series.instances)


def _hole_in_positions(instances: Sequence[Instance]) -> str:
    for orientation, positions in _stacks(instances).items():
        along_mm = np.sort(positions @ _normal(orientation))  # PS3.3 C.7.6.2.1.1
        gaps_mm = np.diff(along_mm)
        if same := int((gaps_mm < _SAME_MM).sum()):
            return f"{same} positions are there twice"
        median_mm = float(np.median(gaps_mm)) if gaps_mm.size else 0.0
        wide = np.flatnonzero(gaps_mm - median_mm > max(_GAP_TOLERANCE * median_mm, _ROUNDING_MM))
        if wide.size:
            return f"a gap of {gaps_mm[wide[0]]:.2f} mm, elsewhere {median_mm:.2f} mm"
    return ""


def _stacks(instances: Sequence[Instance]) -> dict[tuple[float, ...], NDArray[np.float64]]:
    """Positions (N, 3) LPS mm by orientation; images that tell neither are in none."""
    stacks: dict[tuple[float, ...], list[Any]] = defaultdict(list)
    for instance in instances:
        position, orientation = (instance.header.get(f"Image{name}Patient") or () for name in ("Position", "Orientation"))
        if len(position) == 3 and len(orientation) == 6:
            stacks[tuple(np.round(orientation, 2))].append(position)
    return {orientation: np.array(positions, np.float64) for orientation, positions in stacks.items()}


def _normal(orientation: Sequence[float]) -> NDArray[np.float64]:
    return np.cross(orientation[:3], orientation[3:])


def _hole_in_numbers(instances: Sequence[Instance]) -> str:
    """Numbers tell nothing where an image has none, or several have the same."""
    numbers = sorted({number for instance in instances if (number := instance.header.get("InstanceNumber")) is not None})
    if not numbers or len(numbers) < len(instances):
        return ""
    if numbers[0] not in _FIRST_NUMBERS:
        return f"the first Instance Number is {numbers[0]}"
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    return f"{missing} Instance Numbers up to {numbers[-1]} are missing" if missing else ""
