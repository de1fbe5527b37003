"""How a model holds when images get worse, and from where it should refuse."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cad_node.training.evaluation.bootstrap import Interval
from cad_node.training.metrics import Table

FULL_DOSE_NOISE_HU = 20.0  # standard deviation in water, which is what a quarter of the dose doubles

Images = NDArray[np.float32]  # (N, C, H, W) HU


class Kind(StrEnum):
    NOISE = "noise"
    BLUR = "blur"
    THICKNESS = "thickness"
    DOSE = "dose"
    SHIFT = "shift"


UNITS = {
    Kind.NOISE: "standard deviation added, HU",
    Kind.BLUR: "standard deviation of the blur, mm",
    Kind.THICKNESS: "slices averaged",
    Kind.DOSE: "share of the dose",
    Kind.SHIFT: "pixels",
}


@dataclass(frozen=True, slots=True)
class Level:
    level: float
    value: float
    ci95: Interval


@dataclass(frozen=True, slots=True)
class Robustness:
    """points: from the mildest level on. statistic: its name, for people. refuse_from: the first level below the limit, if any."""

    kind: Kind
    statistic: str
    limit: float
    points: tuple[Level, ...]

    @property
    def unit(self) -> str:
        return UNITS[self.kind]

    @property
    def refuse_from(self) -> float | None:
        return next((point.level for point in self.points if point.value < self.limit), None)


def degrade(inputs: NDArray[Any], kind: str, level: float, rng: np.random.Generator, pixel_mm: float = 1.0) -> Images:
    """The images as a worse scan would show them.

    inputs: (N, C, H, W) HU; channels are neighbouring slices.
    noise: white, of SD `level` HU. blur: Gaussian, of SD `level` mm in the slice. thickness: `level` channels averaged, 1 is none.
    dose: `level` of the dose, 1 is all: white noise whose variance grows with 1/dose and with the density, as photon counts have it.
    shift: `level` pixels in a random direction for each image, all its channels alike.
    """
    images = np.asarray(inputs, np.float32)
    return _DEGRADE[Kind(kind)](images, level / pixel_mm if kind == Kind.BLUR else level, rng)


def measure_robustness(
    inputs: NDArray[Any],
    judge: Callable[[Images], tuple[float, Interval]],
    levels: Mapping[Kind, Sequence[float]] | Mapping[str, Sequence[float]],
    *,
    statistic: str,
    limit: float,
    pixel_mm: float = 1.0,
    seed: int = 0,
) -> tuple[Robustness, ...]:
    """One curve for each kind.

    judge: degraded inputs -> value and interval, for instance of roc_auc; higher is better.
    levels: kind -> from the mildest to the worst. limit: the value below which the model should refuse; stated before it is measured.
    """
    curves = []
    for kind, chosen in levels.items():
        points = []
        for level in chosen:
            value, interval = judge(degrade(inputs, kind, level, np.random.default_rng(seed), pixel_mm))
            points.append(Level(level, value, interval))
        curves.append(Robustness(Kind(kind), statistic, limit, tuple(points)))
    return tuple(curves)


def robustness_table(title: str, curves: Sequence[Robustness]) -> Table:
    """A row for each kind and level, with what the model should do with such images."""
    rows = []
    for curve in curves:
        verdict = "take"
        for point in curve.points:
            verdict = "refuse" if point.value < curve.limit else verdict  # and everything worse with it
            low, high = point.ci95
            rows.append((f"{curve.kind}: {curve.unit}", f"{point.level:g}", f"{point.value:.3f} ({low:.3f} to {high:.3f})", verdict))
    limits = ", ".join(f"{limit:g}" for limit in sorted({curve.limit for curve in curves}))
    note = f"The model should refuse from the first level at which the {curves[0].statistic} falls below {limits}."
    return Table(title, note, ("degraded by", "level", f"{curves[0].statistic} (95 % CI)", "the model should"), tuple(rows))


def _add_noise(images: Images, deviation_hu: float, rng: np.random.Generator) -> Images:
    return images + rng.standard_normal(images.shape, np.float32) * np.float32(deviation_hu)


def _blur(images: Images, deviation_px: float, _: np.random.Generator) -> Images:
    return np.asarray(ndimage.gaussian_filter(images, (0, 0, deviation_px, deviation_px), mode="nearest"), np.float32)


def _thicken(images: Images, slices: float, _: np.random.Generator) -> Images:
    if images.shape[1] == 1:
        raise ValueError("images of one channel have no neighbouring slices to average")
    return np.asarray(ndimage.uniform_filter1d(images, int(slices), axis=1, mode="nearest"), np.float32)


def _lower_dose(images: Images, share: float, rng: np.random.Generator) -> Images:
    density = np.clip(1 + images / 1000, 0.05, None)  # of water; air scatters a little
    noise = rng.standard_normal(images.shape, np.float32)
    return np.asarray(images + noise * FULL_DOSE_NOISE_HU * np.sqrt((1 / share - 1) * density), np.float32)


def _shift(images: Images, distance_px: float, rng: np.random.Generator) -> Images:
    angles = rng.uniform(0, 2 * np.pi, len(images))
    moves = zip(images, np.sin(angles), np.cos(angles), strict=True)
    return np.stack(
        [ndimage.shift(image, (0, distance_px * down, distance_px * right), order=1, mode="nearest") for image, down, right in moves]
    )


_DEGRADE: Mapping[Kind, Callable[[Images, float, np.random.Generator], Images]] = {
    Kind.NOISE: _add_noise,
    Kind.BLUR: _blur,
    Kind.THICKNESS: _thicken,
    Kind.DOSE: _lower_dose,
    Kind.SHIFT: _shift,
}
