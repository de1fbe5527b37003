"""Which of the received and the made files may go, and why; pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cad_node.settings import Retention

_MB = 1_000_000  # bytes, as in scp.min_free_mb


class Kind(StrEnum):
    INPUTS = "inputs"  # every received instance of a study
    RESULTS = "results"  # what one job made
    CONFLICT = "conflict"  # a file whose SOP Instance UID another content had before


@dataclass(frozen=True, slots=True)
class Stored:
    """Files that go together or not at all."""

    kind: Kind
    study_instance_uid: str
    number: int | None  # of the job whose results, or of the conflict, it is
    since: datetime  # its age counts from here
    files: int
    size_bytes: int
    held_by: str = ""  # why it can't go yet, however old it is


@dataclass(frozen=True, slots=True)
class Removal:
    stored: Stored
    why: str


def due(stored: Iterable[Stored], rule: Retention, now: datetime, free_bytes: int, short: bool) -> Iterator[Removal]:
    """What goes now: what is too old, and where space is short also the oldest of the rest until there is enough.

    stored: what may go, the oldest first. short: as is_short said before the first of them went.
    """
    for one in stored:
        old = old_before(one.kind, rule, now)
        if old and one.since < old:
            why = f"older than {_days(one.kind, rule):g} days"
        elif short and free_bytes < rule.free_until_mb * _MB:
            why = f"less than {rule.free_below_mb} MB were free, and {rule.free_until_mb} MB should be"
        else:
            continue
        free_bytes += one.size_bytes
        yield Removal(one, why)


def is_short(rule: Retention, free_bytes: int) -> bool:
    """Whether so little is free that the oldest go, however young they are."""
    return free_bytes < rule.free_below_mb * _MB


def old_before(kind: Kind, rule: Retention, now: datetime) -> datetime | None:
    """What is older than this is removed; None: none is for its age."""
    days = _days(kind, rule)
    return now - timedelta(days=days) if days > 0 else None


def _days(kind: Kind, rule: Retention) -> float:
    return rule.results_days if kind is Kind.RESULTS else rule.inputs_days
