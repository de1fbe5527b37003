"""The generated parts of docs/measurement.md, and the private codes of quantities: from the catalogue and from the committed sweep."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydicom.sr.coding import Code

from cad_node.imaging.concepts import LUNG_QUANTITIES, NODULE_QUANTITIES, Quantity

Table = tuple[Sequence[str], list[Sequence[Any]]]  # head, rows

_SWEEP = Path(__file__).parent / "measurement.json"  # written by `make bench-measurement`


def nodule_quantities() -> Table:
    return _quantities(NODULE_QUANTITIES)


def lung_quantities() -> Table:
    return _quantities(LUNG_QUANTITIES)


def private_codes() -> Table:
    quantities = (*NODULE_QUANTITIES, *LUNG_QUANTITIES)
    codes = dict.fromkeys(code for one in quantities for code in (one.concept, one.method) if code)
    rows = [(code.value, code.scheme_designator, code.meaning) for code in codes if code.scheme_designator == "99CADNODE"]
    return ("Value", "Scheme", "Meaning"), rows


def volume_errors() -> Table:
    return _errors("volume")


def diameter_errors() -> Table:
    return _errors("diameter")


def worst_errors() -> Table:
    """Of the conditions where something is promised."""
    cells = [cell for cell in _sweep()["cells"] if cell["diameter_mm"] >= 6 and cell["spacing_mm"] <= 1.25]
    rows = []
    for outline, shape in dict.fromkeys((cell["outline"], cell["shape"]) for cell in cells):
        group = [cell for cell in cells if (cell["outline"], cell["shape"]) == (outline, shape)]
        volume, diameter = (max((cell[f"{what}_bias"] for cell in group), key=abs) for what in ("volume", "diameter"))
        missed = sum(cell["missed"] for cell in group)
        scans = missed + sum(cell["measured"] for cell in group)
        rows.append((f"`{outline}`", shape, len(group), scans, f"{volume:+.1f} %", f"{diameter:+.2f} mm", missed))
    return ("outline", "shape", "conditions", "scans", "worst volume bias", "worst diameter bias", "not outlined"), rows


def _quantities(quantities: Iterable[Quantity]) -> Table:
    head = ("quantity", "concept", "unit", "method", "derivation", "formula", "limits")
    rows = [
        (one.title, _coded(one.concept), f"`{one.unit.value}`", _coded(one.method), _coded(one.derivation), one.formula, one.limits)
        for one in quantities
    ]
    return head, rows


def _coded(code: Code | None) -> str:
    return f"{code.meaning} ({code.value}, {code.scheme_designator})" if code else ""


def _errors(what: str) -> Table:
    """Bias ± SD over kernels and noise; a column for each slice spacing."""
    summary = _sweep()["summary"]
    spacings = dict.fromkeys(row["spacing_mm"] for row in summary)
    rows = []
    for outline, shape, size in dict.fromkeys((row["outline"], row["shape"], row["diameter_mm"]) for row in summary):
        group = [row for row in summary if (row["outline"], row["shape"], row["diameter_mm"]) == (outline, shape, size)]
        rows.append((f"`{outline}`", shape, f"{size:g}", *(f"{row[f'{what}_bias']:+.1f} ± {row[f'{what}_sd']:.1f}" for row in group)))
    return ("outline", "shape", "mm", *(f"{spacing:g} mm" for spacing in spacings)), rows


def _sweep() -> dict[str, Any]:
    sweep: dict[str, Any] = json.loads(_SWEEP.read_text(encoding="utf-8"))
    return sweep
