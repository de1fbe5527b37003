"""Takes away what is old, and what has to go so that more can come in."""

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cad_node.audit.trail import Trail
from cad_node.log import get_logger
from cad_node.poller import poll
from cad_node.retention import Kind, Removal, Stored, due, is_short, old_before
from cad_node.settings import Retention
from cad_node.store.listed_files import ListedFiles
from cad_node.store.orphans import find_orphans
from cad_node.store.removals import Removals
from cad_node.store.room import free_bytes

log = get_logger()

_BATCH = 20  # of each kind, chosen at once
_ORPHANS_FIRST, _ORPHANS_EVERY = timedelta(hours=1), timedelta(days=1)
_NEVER = threading.Event()


@dataclass(frozen=True, slots=True)
class Remover:
    """Everything one pass needs; built in app/start.py."""

    removals: Removals
    files: ListedFiles
    rule: Retention
    clock: Callable[[], datetime]
    trail: Trail | None = None  # is told of what is removed

    def run(self, stop: threading.Event) -> None:
        """Look for what can go until `stop` is set, and now and then for files that nobody knows."""
        orphans_at = self.clock() + _ORPHANS_FIRST

        def look() -> bool:
            nonlocal orphans_at
            self.remove_due(stop)
            if self.clock() >= orphans_at:
                orphans_at = self.clock() + _ORPHANS_EVERY
                self.remove_orphans()
            return False

        poll(look, self.rule.every_s, stop)

    def remove_due(self, stop: threading.Event = _NEVER) -> list[Removal]:
        """Take away all that is due, the oldest first.

        What was freed is reckoned, not measured: a disk that gives nothing back for what is removed doesn't cost everything.
        """
        stuck = self._unlink()  # what a process that died left to do is done first
        free = free_bytes(self.files.spool_dir)
        short = is_short(self.rule, free) and not stuck
        removed: list[Removal] = []
        while not stop.is_set() and (batch := self._remove_batch(free, short)):
            free += sum(removal.stored.size_bytes for removal in batch)
            removed += batch
        return removed

    def due(self, limit: int) -> list[Removal]:
        """What would go now, the oldest first; at most `limit` of each kind."""
        free = free_bytes(self.files.spool_dir)
        return self._due(free, is_short(self.rule, free), limit)

    def held(self, limit: int) -> list[Stored]:
        """What is old enough to go, but may not yet; the oldest first, at most `limit` of each kind."""
        now = self.clock()
        chosen = [self.removals.oldest(kind, before, limit, held=True) for kind in Kind if (before := old_before(kind, self.rule, now))]
        return list(heapq.merge(*chosen, key=_since))

    def remove_orphans(self) -> int:
        """Take away the files that no row has named for as long as a named one would be kept. Returns how many."""
        now = self.clock()
        folders = {
            self.files.spool_dir / "instances": old_before(Kind.INPUTS, self.rule, now),
            self.files.spool_dir / "conflicts": old_before(Kind.CONFLICT, self.rule, now),
            self.files.results_dir: old_before(Kind.RESULTS, self.rule, now),
        }
        orphans = find_orphans(self.files.database, {folder: before for folder, before in folders.items() if before})
        self.files.add(orphans, now)
        self._unlink()
        if orphans:
            log.warning("orphans.removed", files=len(orphans))
        return len(orphans)

    def _remove_batch(self, free: int, short: bool) -> list[Removal]:
        removed = [removal for removal in self._due(free, short, _BATCH) if self.removals.remove(removal.stored, self.clock())]
        self._unlink()
        for removal in removed:
            one = removal.stored
            log.info("files.removed", kind=one.kind, study=one.study_instance_uid, number=one.number, files=one.files, why=removal.why)
            if self.trail:
                tell = self.trail.study_deleted if one.kind is Kind.INPUTS else self.trail.instances_deleted
                tell(one.study_instance_uid, one.files)
        return removed

    def _due(self, free: int, short: bool, limit: int) -> list[Removal]:
        now = self.clock()
        befores = {kind: old_before(kind, self.rule, now) for kind in Kind}
        chosen = [self.removals.oldest(kind, None if short else before, limit) for kind, before in befores.items() if short or before]
        return list(due(heapq.merge(*chosen, key=_since), self.rule, now, free, short))

    def _unlink(self) -> int:
        """Unlink the listed files. Returns how many are left, because they can't be unlinked now."""
        while self.files.unlink(self.clock()):
            pass
        return self.files.waiting()


def _since(stored: Stored) -> datetime:
    return stored.since
