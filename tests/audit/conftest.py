"""A log in a folder of its own, and a trail that writes to it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cad_node.audit.audit_log import AuditLog
from cad_node.audit.message import Source
from cad_node.audit.trail import LocalProcess, Trail

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.fixture
def audit_log(folder: Path) -> Iterator[AuditLog]:
    log = AuditLog(folder, 10_000_000, fsync=False)
    yield log
    log.close()


@pytest.fixture
def trail(audit_log: AuditLog, clock: Clock) -> Trail:
    return Trail(audit_log, Source("CAD@node", "Hospital"), LocalProcess("scp", 4711, "CAD_NODE", "node"), clock)
