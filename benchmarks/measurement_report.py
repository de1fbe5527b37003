"""What came of a measurement sweep: pooled figures, tables, a verdict, a file and a plot."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

FROM_MM, UP_TO_SPACING_MM = 6.0, 1.25  # solid nodules of this size, on such slices:
MAX_BIAS_PERCENT, MAX_ERROR_MM = 5.0, 1.0  # what is promised

Row = Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of one shape under one condition: volume in percent of the true one, diameter in mm from the true longest axial one."""

    outline: str
    shape: str
    diameter_mm: float
    spacing_mm: float
    blur_mm: float
    noise_hu: float
    measured: int
    missed: int
    volume_bias: float
    volume_sd: float
    diameter_bias: float
    diameter_sd: float

    @classmethod
    def of(  # noqa: PLR0917 - the condition's names
        cls,
        outline: str,
        shape: str,
        diameter_mm: float,
        spacing_mm: float,
        blur_mm: float,
        noise_hu: float,
        errors: Sequence[tuple[float, float] | None],
    ) -> "Cell":
        """errors: (volume, diameter) of each repeat, None for one that wasn't outlined."""
        figures = np.array([pair for pair in errors if pair] or [(np.nan, np.nan)])
        bias, sd = figures.mean(axis=0).round(3).tolist(), figures.std(axis=0).round(3).tolist()
        missed = sum(pair is None for pair in errors)
        counts = len(errors) - missed, missed
        return cls(outline, shape, diameter_mm, spacing_mm, blur_mm, noise_hu, *counts, bias[0], sd[0], bias[1], sd[1])


def summarize(cells: Sequence[Cell]) -> list[Row]:
    """Per outline, shape, size and spacing, over blur and noise: pooled bias and spread."""
    groups: dict[tuple[str, str, float, float], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.outline, cell.shape, cell.diameter_mm, cell.spacing_mm), []).append(cell)
    return [
        {
            **dict(zip(("outline", "shape", "diameter_mm", "spacing_mm"), key, strict=True)),
            "measured": sum(cell.measured for cell in group),
            "missed": sum(cell.missed for cell in group),
            **_pooled(group, "volume"),
            **_pooled(group, "diameter"),
        }
        for key, group in groups.items()
    ]


def _pooled(cells: Sequence[Cell], what: str) -> dict[str, float]:
    weight = np.array([cell.measured for cell in cells], float)
    if not weight.any():
        return {f"{what}_bias": float("nan"), f"{what}_sd": float("nan")}
    bias, sd = (np.nan_to_num([getattr(cell, f"{what}_{kind}") for cell in cells]) for kind in ("bias", "sd"))
    mean = float(np.average(bias, weights=weight))
    variance = float(np.average(sd**2 + (bias - mean) ** 2, weights=weight))
    return {f"{what}_bias": round(mean, 2), f"{what}_sd": round(variance**0.5, 2)}


def print_tables(console: Console, summary: Sequence[Row]) -> None:
    spacings = dict.fromkeys(row["spacing_mm"] for row in summary)
    for outline in dict.fromkeys(row["outline"] for row in summary):
        for what, unit in (("volume", "%"), ("diameter", "mm")):
            title = f"{what}: bias ± SD in {unit}, over kernels and noise; outline: {outline}"
            table = Table(title=title, title_justify="left", header_style="bold")
            for column in ("shape", "mm", *(f"slices {spacing:g} mm" for spacing in spacings)):
                table.add_column(column, justify="left" if column == "shape" else "right", no_wrap=True)
            of_outline = [row for row in summary if row["outline"] == outline]
            for shape, diameter_mm in dict.fromkeys((row["shape"], row["diameter_mm"]) for row in of_outline):
                rows = [row for row in of_outline if (row["shape"], row["diameter_mm"]) == (shape, diameter_mm)]
                table.add_row(str(shape), f"{diameter_mm:g}", *(f"{row[f'{what}_bias']:+.1f} ± {row[f'{what}_sd']:.1f}" for row in rows))
            console.print(table)


def judge(console: Console, cells: Sequence[Cell]) -> None:
    """The worst conditions where something is promised, per outline and solid shape."""
    promised = [c for c in cells if c.shape != "ground glass" and c.diameter_mm >= FROM_MM and c.spacing_mm <= UP_TO_SPACING_MM]
    for outline, shape in dict.fromkeys((cell.outline, cell.shape) for cell in promised):
        group = [cell for cell in promised if (cell.outline, cell.shape) == (outline, shape)]
        volume, diameter = (max((getattr(cell, f"{what}_bias") for cell in group), key=abs) for what in ("volume", "diameter"))
        missed = sum(cell.missed for cell in group)
        kept = abs(volume) <= MAX_BIAS_PERCENT and abs(diameter) <= MAX_ERROR_MM and not missed
        console.print(
            f"{shape} from {FROM_MM:g} mm, slices up to {UP_TO_SPACING_MM:g} mm, outline {outline}, worst of {len(group)} conditions: "
            f"volume {volume:+.1f} %, diameter {diameter:+.2f} mm, {missed} missed",
            style="green" if kept else "bold red",
        )


def write_json(file: Path, cells: Sequence[Cell], summary: Sequence[Row]) -> None:
    """One figure's row a line, so that a change can be read."""
    parts = {"summary": summary, "cells": [asdict(cell) for cell in cells]}
    written = [f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]" for name, rows in parts.items()]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + ",\n".join(written) + "\n}\n", encoding="utf-8")


def plot(summary: Sequence[Row], outline: str, file: Path) -> None:
    """Balls: bias and spread of volume and diameter over size, a line for each slice spacing."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - of the train extra, and slow to import

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    drawn = (
        ("volume", "volume, error in %", (-30, 60), MAX_BIAS_PERCENT),
        ("diameter", "diameter, error in mm", (-2, 2), MAX_ERROR_MM),
    )
    for axes, (what, label, limits, promised) in zip(panels, drawn, strict=True):
        axes.axhspan(-promised, promised, color="0.92")
        for spacing_mm in dict.fromkeys(row["spacing_mm"] for row in summary):
            rows = [row for row in summary if (row["outline"], row["shape"], row["spacing_mm"]) == (outline, "ball", spacing_mm)]
            x, bias, sd = (np.array([row[key] for row in rows], float) for key in ("diameter_mm", f"{what}_bias", f"{what}_sd"))
            axes.errorbar(x, bias, yerr=sd, capsize=2, linewidth=1, label=f"{spacing_mm:g} mm slices")
        axes.set(xlabel="true diameter in mm", ylabel=label, ylim=limits)
    panels[1].legend(fontsize="small")
    figure.savefig(file, dpi=80)
