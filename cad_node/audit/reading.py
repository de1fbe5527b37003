"""The records of the audit log, one after another."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cad_node.audit.audit_log import file_number, log_files
from cad_node.audit.record import NotARecord, Record, decode_record
from cad_node.log import get_logger

log = get_logger()


@dataclass(frozen=True, slots=True)
class Mark:
    """A place behind a record. offset: where the next one begins in `file`."""

    file: str = ""
    offset: int = 0
    sequence: int = 0
    hash: str = ""


START = Mark()


def records_after(folder: Path, mark: Mark = START) -> Iterator[tuple[Mark, Record]]:
    """Each record that follows, and the mark behind it; what isn't a record is for `verify` to name, not to stop at."""
    first = file_number(Path(mark.file)) if mark.file else 0
    for path in log_files(folder):
        if file_number(path) < first:
            continue
        with path.open("rb") as file:
            offset = file.seek(mark.offset if path.name == mark.file else 0)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # torn off, or still being written
                offset += len(line)
                try:
                    record = decode_record(line)
                except NotARecord as exc:
                    log.error("audit.line_unreadable", file=path.name, reason=str(exc))
                    continue
                yield Mark(path.name, offset, record.sequence, record.hash), record
