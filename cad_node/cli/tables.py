"""Values as a person reads them in a terminal: tables that fit 80 columns, in full from 140 on."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

WIDE = 140  # columns from which nothing is shortened
_SHORT_UID = 18
_NAMED_FILES = 3


def table(title: str, *columns: str | Column, caption: str | None = None) -> Table:
    """A table without lines: they would take a fifth of a narrow terminal."""
    return Table(
        *columns,
        title=title,
        title_justify="left",
        title_style="bold",
        caption=caption,
        caption_justify="left",
        header_style="dim",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )


def narrow(heading: str) -> Column:
    """A column that is never wrapped."""
    return Column(heading, no_wrap=True)


def number(heading: str) -> Column:
    return Column(heading, no_wrap=True, justify="right")


def add(rows: Table, *values: Any) -> None:
    """Add a row; brackets in a value are no markup."""
    rows.add_row(*(value if isinstance(value, Text) else Text(cell(value)) for value in values))


def listed(pairs: Iterable[tuple[Any, Any]], title: str = "") -> Table:
    """Label and text, the text wrapped beside its label."""
    rows = table(title, narrow(""), Column("", overflow="fold"))
    rows.show_header = False
    for label, value in pairs:
        add(rows, Text(cell(label), "bold"), value)
    return rows


def cell(value: Any) -> str:
    """A value as text: times in the local zone, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%m-%d %H:%M:%S")
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item:.2f}" for key, item in value.items())
    return str(value)


def short_uid(uid: str, width: int) -> str:
    """A UID for a terminal of `width` columns: where it is narrow, only the two ends."""
    return uid if width >= WIDE or len(uid) <= _SHORT_UID else f"{uid[:10]}…{uid[-7:]}"


def print_left_out(console: Console, what: str, files: Sequence[tuple[Path, str]]) -> None:
    """Files that weren't taken, by reason, with the names of the first few."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in files:
        by_reason.setdefault(reason, []).append("/".join(path.parts[-2:]))  # names alone repeat in every folder
    for reason, names in by_reason.items():
        more = f" and {len(names) - _NAMED_FILES} more" if len(names) > _NAMED_FILES else ""
        text = f" {len(names)} file{'s' if len(names) > 1 else ''}, {reason}: {', '.join(names[:_NAMED_FILES])}{more}"
        console.print(Text.assemble((what, "yellow"), text))
