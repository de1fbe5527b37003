"""Whether a series has a hole, as far as the indexed headers tell."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

from cad_node.slices import along_mm, gaps, normal_of, rounded
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
        normal = normal_of(orientation)
        gaps_mm = gaps(sorted(along_mm(normal, position) for position in positions))
        if same := sum(gap < _SAME_MM for gap in gaps_mm):
            return f"{same} positions are there twice"
        median_mm = median(gaps_mm) if gaps_mm else 0.0
        for gap in gaps_mm:
            if gap - median_mm > max(_GAP_TOLERANCE * median_mm, _ROUNDING_MM):
                return f"a gap of {gap:.2f} mm, elsewhere {median_mm:.2f} mm"
    return ""


def _stacks(instances: Sequence[Instance]) -> Mapping[tuple[float, ...], Sequence[Sequence[float]]]:
    """Positions, LPS mm, by orientation; images that tell neither are in none."""
    stacks: dict[tuple[float, ...], list[Sequence[float]]] = defaultdict(list)
    for instance in instances:
        position, orientation = (instance.header.get(f"Image{name}Patient") or () for name in ("Position", "Orientation"))
        if len(position) == 3 and len(orientation) == 6:
            stacks[rounded(orientation)].append(position)
    return stacks


def _hole_in_numbers(instances: Sequence[Instance]) -> str:
    """Numbers tell nothing where an image has none, or several have the same."""
    numbers = sorted({number for instance in instances if (number := instance.header.get("InstanceNumber")) is not None})
    if not numbers or len(numbers) < len(instances):
        return ""
    if numbers[0] not in _FIRST_NUMBERS:
        return f"the first Instance Number is {numbers[0]}"
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    return f"{missing} Instance Numbers up to {numbers[-1]} are missing" if missing else ""
