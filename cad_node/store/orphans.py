"""Files that no row names: left by a process that died at the wrong moment, or by a worker that lost its lease."""

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from cad_node.log import get_logger
from cad_node.store.database import Database
from cad_node.store.listed_files import named_files

log = get_logger()

_AT_ONCE = 500  # files looked up in one query


def find_orphans(database: Database, folders: Mapping[Path, datetime]) -> list[Path]:
    """The files below these folders that no row names; each folder with the time since which a file mustn't have changed.

    None where more are unknown than known: then it is the database that is another, or an older one, and the files are all there is.
    """
    known, orphans = 0, []
    for folder, before in folders.items():
        for batch in _batches(_files(folder)):
            with database.reading() as session:
                named = named_files(session, batch)
            known += len(named)
            orphans += [path for path in batch if path not in named and _is_left(path, before)]
    if len(orphans) > known:
        log.error(
            "orphans.kept", unknown=len(orphans), known=known, reason="the database names fewer files than it doesn't: is it the right one?"
        )
        return []
    return orphans


def _files(folder: Path) -> Iterator[Path]:
    """Every file but the temporary ones, which have owners."""
    for root, _, names in os.walk(folder):
        yield from (Path(root, name) for name in names if not name.startswith("."))


def _batches(paths: Iterable[Path]) -> Iterator[list[Path]]:
    iterator = iter(paths)
    while batch := list(islice(iterator, _AT_ONCE)):
        yield batch


def _is_left(path: Path, before: datetime) -> bool:
    """Unchanged since then, under this name alone: an instance that waits to be indexed has another in arriving/."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return status.st_nlink == 1 and datetime.fromtimestamp(status.st_ctime, UTC) < before
