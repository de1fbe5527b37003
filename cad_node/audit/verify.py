"""Walk the chain of the audit log from its first line to its last."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cad_node.audit.audit_log import file_number, log_files
from cad_node.audit.record import GENESIS, NotARecord, Record, decode_record


@dataclass(frozen=True, slots=True)
class Broken:
    """The first line that isn't as it was written, or that something is missing before."""

    path: Path
    line: int  # from 1
    why: str


@dataclass(slots=True)
class Verified:
    """What the walk found; broken is None where the chain is whole.

    first: sequence of the first line, more than 1 where older files were put away.
    torn: how often a writer died in mid-write and the next one said so.
    ends_torn: the last one did, and nothing was written since.
    """

    files: int = 0
    records: int = 0
    first: int = 0
    last: Record | None = None
    torn: int = 0
    ends_torn: bool = False
    broken: Broken | None = None


def verify(folder: Path, anchors: Mapping[int, str]) -> Verified:
    """Check every line. anchors: sequence -> hash, as somebody else keeps them; only they show that lines are missing at the end."""
    walk = _Walk(anchors)
    files = log_files(folder)
    for path in files:
        walk.file(path)
        if walk.found.broken:
            return walk.found
    walk.end(files[-1] if files else folder)
    return walk.found


class _Walk:
    def __init__(self, anchors: Mapping[int, str]) -> None:
        self.found = Verified()
        self._anchors = anchors
        self._torn = b""
        self._line = 0

    def file(self, path: Path) -> None:
        self.found.files += 1
        self._line = 0
        with path.open("rb") as file:
            for line in file:
                self._line += 1
                if not line.endswith(b"\n"):
                    self._torn += line
                elif why := self._fault(path, line):
                    self.found.broken = Broken(path, self._line, why)
                    return

    def end(self, path: Path) -> None:
        """Nothing more is to come: is what the anchors name there?"""
        self.found.ends_torn = bool(self._torn)
        last = self.found.last.sequence if self.found.last else 0
        missing = [sequence for sequence in self._anchors if sequence > last]
        if missing:
            why = f"the log ends with number {last}, but there was a number {max(missing)}: lines are missing at the end"
            self.found.broken = Broken(path, self._line + 1, why)

    def _fault(self, path: Path, line: bytes) -> str:
        """What is wrong with the line; empty if nothing is."""
        try:
            record = decode_record(line)
        except NotARecord as exc:
            return str(exc)
        if fault := self._fault_of_place(path, record):
            return fault
        self.found.torn += bool(self._torn)
        self.found.first = self.found.first or record.sequence
        self.found.records += 1
        self.found.last, self._torn = record, b""
        return ""

    def _fault_of_place(self, path: Path, record: Record) -> str:
        last = self.found.last
        is_first_known = last is None and file_number(path) > 1 and self.found.files == 1  # those before it were put away
        sequence, previous = (last.sequence + 1, last.hash) if last else (1, GENESIS)
        if not is_first_known:
            if record.sequence != sequence:
                return f"it has number {record.sequence} where {sequence} is due"
            if record.previous != previous:
                return f"it doesn't follow what is before it: the hash it names isn't that of number {sequence - 1}"
            if record.torn != (hashlib.sha256(self._torn).hexdigest() if self._torn else ""):
                return "what was torn off before it isn't what it names"
        if self._anchors.get(record.sequence, record.hash) != record.hash:
            return f"number {record.sequence} isn't the one that was there before"
        return ""
