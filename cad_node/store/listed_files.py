"""Files that no row names any more: listed, and unlinked one batch after another, wherever a process dies."""

import re
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import Select, delete, func, insert, literal, select, text, update
from sqlalchemy.orm import Session

from cad_node.lifecycle import JobState
from cad_node.log import get_logger
from cad_node.store.database import Database
from cad_node.store.tables import ConflictRow, FileToRemoveRow, InstanceRow, JobRow, ResultRow, UtcDateTime

log = get_logger()

BATCH = 100  # files unlinked while arrivals wait: some milliseconds


class ListedFiles:
    """The list, and its working off below the two folders of the node."""

    def __init__(self, database: Database, spool_dir: Path, results_dir: Path) -> None:
        self.database = database
        self.spool_dir, self.results_dir = spool_dir.resolve(), results_dir.resolve()  # as the rows name them
        self._kept = {self.spool_dir / "instances", self.spool_dir / "conflicts", self.results_dir}

    def add(self, paths: Sequence[Path], now: datetime) -> None:
        """List files for removal."""
        with self.database.transaction() as session:
            session.execute(delete(FileToRemoveRow).where(FileToRemoveRow.path.in_(map(str, paths))))
            session.add_all(FileToRemoveRow(path=str(path), asked_at=now) for path in paths)

    def unlink(self, now: datetime) -> int:
        """Work one batch off. Returns how many files left the list; 0: none is there, or none can be unlinked now.

        Nothing is indexed meanwhile. Whoever indexes a file after that gives it its name again if need be: it may have been found under
        that name, and taken for received, before it was unlinked here.
        """
        if not self.waiting():
            return 0
        oldest = select(FileToRemoveRow.path).order_by(FileToRemoveRow.asked_at, FileToRemoveRow.path).limit(BATCH)
        with self.database.transaction() as session:
            _keep_arrivals_out(session)
            listed = [Path(path) for path in session.scalars(oldest)]
            named = named_files(session, listed)
            stuck = [path for path in listed if path not in named and not self._unlink_one(path)]
            session.execute(delete(FileToRemoveRow).where(FileToRemoveRow.path.in_([str(path) for path in set(listed) - set(stuck)])))
            session.execute(update(FileToRemoveRow).where(FileToRemoveRow.path.in_(map(str, stuck))).values(asked_at=now))
        self._remove_empty_folders({path.parent for path in listed})
        return len(listed) - len(stuck)

    def waiting(self) -> int:
        """How many files are on the list."""
        with self.database.reading() as session:
            return session.scalars(select(func.count()).select_from(FileToRemoveRow)).one()

    def _unlink_one(self, path: Path) -> bool:
        """False: it couldn't be, now."""
        if not (path.is_relative_to(self.spool_dir) or path.is_relative_to(self.results_dir)):
            log.error("file.not_ours", file=path.name, reason="not below this node's folders, so it is left where it is")
            return True
        try:
            if path.exists() and path.stat().st_nlink > 1:  # it came again, and waits to be indexed under its name in arriving/
                return False
            path.unlink(missing_ok=True)
        except OSError as exc:
            log.error("file.not_removed", file=path.name, reason=exc.strerror)
            return False
        return True

    def _remove_empty_folders(self, folders: Iterable[Path]) -> None:
        """A series' folder and its study's, a run's and its job's, once nothing is in them."""
        for folder in folders:
            for empty in (folder, folder.parent):
                if empty in self._kept or not _remove_if_empty(empty):
                    break


def list_files(session: Session, paths: Select[str], now: datetime) -> None:
    """List the files of a choice of paths for removal, in the transaction that takes their rows away."""
    chosen = paths.subquery()
    session.execute(delete(FileToRemoveRow).where(FileToRemoveRow.path.in_(select(chosen.c.path))))
    session.execute(insert(FileToRemoveRow).from_select(["path", "asked_at"], select(chosen.c.path, literal(now, UtcDateTime()))))


def named_files(session: Session, paths: Sequence[Path]) -> set[Path]:
    """Those that a row names, or a job that runs is about to name."""
    return _named_instances(session, paths) | _named_results(session, paths)


def _named_instances(session: Session, paths: Sequence[Path]) -> set[Path]:
    """A row is found by the UID in its file's name: <UID>.dcm, in conflicts/ <UID>.<16 digits of a hash>.dcm; it may name either."""
    uids = {uid for path in paths for uid in (path.stem, re.sub(r"\.[0-9a-f]{16}$", "", path.stem))}
    rows = (session.scalars(select(row.path).where(row.sop_instance_uid.in_(uids))) for row in (InstanceRow, ConflictRow))
    return {Path(path) for found in rows for path in found} & set(paths)


def _named_results(session: Session, paths: Sequence[Path]) -> set[Path]:
    """results/<job's UID>/<fence>/<builder>.dcm; first the jobs that run: one that ends now has its rows by the second look."""
    runs = {path.parent: run for path in paths if (run := _run_of(path))}
    uids = {uid for uid, _ in runs.values()}
    holding = select(JobRow.uid, JobRow.fence).where(JobRow.uid.in_(uids), JobRow.state == JobState.RUNNING)
    running = {(uid, fence) for uid, fence in session.execute(holding)}
    made = select(ResultRow.path).join(JobRow, JobRow.id == ResultRow.job_id).where(JobRow.uid.in_(uids), ResultRow.removed_at.is_(None))
    named = {Path(path) for path in session.scalars(made)}
    return {path for path in paths if path in named or runs.get(path.parent) in running}


def _run_of(path: Path) -> tuple[uuid.UUID, int] | None:
    """The job and the fence under which a result was written; None: not a result's path."""
    try:
        return uuid.UUID(path.parent.parent.name), int(path.parent.name)
    except ValueError:
        return None


def _keep_arrivals_out(session: Session) -> None:
    """Let nothing be indexed until the transaction is over. SQLite has one writer at a time, which is this one."""
    if session.connection().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE instances IN SHARE MODE"))


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:  # something is in it, or it has gone already
        return False
    return True
