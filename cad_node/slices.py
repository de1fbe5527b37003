"""Where slices lie, as the index's headers tell: plain numbers, because the listener does without NumPy."""

from collections.abc import Sequence
from itertools import pairwise

Vector = tuple[float, float, float]

_SAME_ORIENTATION_DIGITS = 2


def rounded(orientation: Sequence[float]) -> tuple[float, ...]:
    """An Image Orientation (Patient), so that those of one stack are the same."""
    return tuple(round(cosine, _SAME_ORIENTATION_DIGITS) for cosine in orientation)


def normal_of(orientation: Sequence[float]) -> Vector:
    """Of slices with this Image Orientation (Patient), LPS, PS3.3 C.7.6.2.1.1."""
    (a, b, c), (d, e, f) = orientation[:3], orientation[3:]
    return b * f - c * e, c * d - a * f, a * e - b * d


def along_mm(normal: Vector, position: Sequence[float]) -> float:
    """How far an Image Position (Patient), LPS mm, lies along the normal."""
    return sum(axis * place for axis, place in zip(normal, position, strict=True))


def gaps(along: Sequence[float]) -> list[float]:
    """Between neighbours."""
    return [later - earlier for earlier, later in pairwise(along)]
