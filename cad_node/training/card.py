"""MODEL_CARD.md: the recipe's text with everything that was measured in it."""

from collections.abc import Iterable
from pathlib import Path
from string import Template

from cad_node.training.metrics import Evaluation, Figure, Metrics, Table


def fill_card(text: Path, metrics: Metrics, version: str) -> str:
    """The card's text at `text`, its ${places} filled."""
    return Template(text.read_text(encoding="utf-8")).substitute(
        version=version,
        seed=metrics.seed,
        epochs=", ".join(str(epoch) for epoch in metrics.epochs),
        data_sha256="\n".join(f"- {split}: `{sha256}`" for split, sha256 in metrics.data_sha256.items()),
        figures=_figures(metrics.evaluation),
        tables="\n\n".join(_table(table) for table in metrics.evaluation.tables),
        pictures=_pictures(metrics.evaluation),
    )


def _figures(evaluation: Evaluation) -> str:
    rows = [(figure.name, figure.split, value_with_interval(figure), f"{figure.count:,} {figure.of}") for figure in evaluation.figures]
    return _rows(("figure", "data", "value (95 % CI)", "of"), rows)


def value_with_interval(figure: Figure) -> str:
    interval = f" ({figure.ci95[0]:.4g} to {figure.ci95[1]:.4g})" if figure.ci95 else ""
    return f"{figure.value:.4g}{interval}"


def _table(table: Table) -> str:
    note = f"\n\n{table.note}" if table.note else ""
    return f"**{table.title}**\n\n{_rows(table.columns, table.rows)}{note}"


def _pictures(evaluation: Evaluation) -> str:
    shown = [f"![{picture.title}](pictures/{picture.file})" for picture in evaluation.pictures if not picture.shows_data]
    kept = "".join(f"\n- {picture.title}" for picture in evaluation.pictures if picture.shows_data)
    note = f"Not here, since they show patients' images; `cad-node evaluate` writes them to the run's folder:\n{kept}"
    return "\n\n".join([*shown, note] if kept else shown)


def _rows(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
