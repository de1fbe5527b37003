"""All that was measured of a trained model: metrics.json, from which the card is made."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cad_node.errors import CadNodeError


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    key: for programs, for instance "test_auc"; name: for people, "Area under the ROC curve".
    ci95: low and high of the 95 % confidence interval, None where there is none. count: of cases behind it; of what: "nodules".
    """

    key: str
    name: str
    split: str
    value: float
    ci95: tuple[float, float] | None
    count: int
    of: str


@dataclass(frozen=True, slots=True)
class Table:
    """Subgroups, operating points, scans: cells are written as they are to be read."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """shows_data: images of the data set are in it, which stay with the run: a model folder holds no patients' images."""

    title: str
    file: str  # name within the pictures folder
    shows_data: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a recipe's `evaluate` gives back.

    parameters: numbers that serving needs, chosen on validation data: thresholds, temperatures. They go into model.toml [parameters].
    """

    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    pictures: tuple[Picture, ...]
    parameters: Mapping[str, float]

    def figure(self, key: str) -> Figure:
        return next(figure for figure in self.figures if figure.key == key)


@dataclass(frozen=True, slots=True)
class Metrics:
    """epochs: the best epoch of each member. data_sha256: of each split that the last member was trained on."""

    recipe: str
    seed: int
    epochs: tuple[int, ...]
    data_sha256: Mapping[str, str]
    evaluation: Evaluation


class MetricsError(CadNodeError):
    """metrics.json can't be used."""


def write_metrics(metrics: Metrics, file: Path) -> None:
    file.write_text(json.dumps(asdict(metrics), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_metrics(file: Path) -> Metrics:
    try:
        return TypeAdapter(Metrics).validate_json(file.read_bytes())
    except (OSError, ValidationError) as exc:
        raise MetricsError(f"{file}: not metrics of a model: {exc}; `cad-node evaluate` writes them") from exc
