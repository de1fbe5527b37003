"""The folder of received instances: whole or absent, durable before anyone is told that they exist, the first content never replaced."""

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

from cad_node.disk import make_folder, out_of_space_named, sync_folder
from cad_node.errors import CadNodeError
from cad_node.store.arriving import ArrivingFile, ArrivingFolder
from cad_node.store.digest import digest_of
from cad_node.store.room import Room


class InvalidUid(CadNodeError):
    """Not a UID, so it can't become part of a path. The value isn't repeated: it can be anything."""


class Placement(Enum):
    NEW = auto()
    SAME = auto()  # this instance was there already: the same data set, whoever sent it
    CONFLICT = auto()  # another content lies under this SOP Instance UID; this one is kept aside


NEW, SAME, CONFLICT = Placement

_UID = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII).fullmatch
_MOST_SYNCED = 1000  # folders remembered


class Placed(NamedTuple):
    path: Path
    outcome: Placement
    digest: str


class Spool:
    """instances/<study>/<series>/<SOP instance>.dcm, conflicts/, and arriving/.

    A file is written in arriving/, and when it is complete, whoever sent it may be told that it is stored. It gets its final name
    afterwards, and loses the first one when the index knows the instance.
    """

    def __init__(self, root: Path, min_free_mb: int, *, durable: bool = True) -> None:
        """durable: False leaves it to the operating system when content reaches the disk."""
        self.durable = durable
        self._root = root.resolve()  # stored paths hold wherever a process is started
        self._room = Room(self._root, min_free_mb * 1_000_000)
        self._instances, self._conflicts = self._root / "instances", self._root / "conflicts"
        make_folder(self._conflicts)
        self._arriving = ArrivingFolder(self._root / "arriving", durable=durable)
        self._synced: set[Path] = set()  # folders whose own names are durable

    def close(self) -> None:
        """Give up this process's folder in arriving/; what lies there is the next one's to take over."""
        self._arriving.close()

    def has_room(self, size_bytes: int = 0) -> bool:
        """Whether the free space is above the configured floor, with `size_bytes` more."""
        return self._room.has_room(size_bytes)

    def arriving(self) -> ArrivingFile:
        """A new file to be written. Raises OutOfSpace."""
        return self._arriving.new_file()

    def left_behind(self) -> Iterator[tuple[Path, str]]:
        """The complete files that dead processes left in arriving/, and their digests."""
        return self._arriving.left_behind()

    def path_of(self, study_uid: str, series_uid: str, sop_uid: str) -> Path:
        """Where an instance lies. Raises InvalidUid."""
        for name, uid in (("Study Instance UID", study_uid), ("Series Instance UID", series_uid), ("SOP Instance UID", sop_uid)):
            check_uid(name, uid)
        return Path(f"{self._instances}/{study_uid}/{series_uid}/{sop_uid}.dcm")

    def place(self, arriving: Path, digest: str, final: Path) -> Placed:
        """Give a complete file its final name as well; the name is durable after sync().

        The first content of a UID stays: a second one is kept in conflicts/, never in its place. Which of them has the UID is the
        index's to say: the first may be a dead process's that never came so far. Two processes may place the
        same UID at once, the file system decides which is first.
        Raises OutOfSpace, FileNotFoundError: `arriving` isn't there.
        """
        with out_of_space_named(final):
            if _link(arriving, final) or final.samefile(arriving):
                return Placed(final, NEW, digest)
            if (held := digest_of(final)) == digest_of(arriving):
                return Placed(final, SAME, held)
            aside = self._conflicts / f"{final.stem}.{digest.rpartition(':')[2][:16]}.dcm"
            _link(arriving, aside)
            return Placed(aside, CONFLICT, digest)

    def sync(self, placed: Iterable[Path]) -> None:
        """Make final names durable, and those of the folders they are in."""
        if not self.durable:
            return
        for folder in {path.parent for path in placed}:
            sync_folder(folder)
            if folder not in self._synced:  # another thread or process may have made it, and not have come so far
                for above in folder.relative_to(self._root).parents:
                    sync_folder(self._root / above)
                self._synced = {*itertools.islice(self._synced, _MOST_SYNCED), folder}


def restore(arriving: Path, final: Path) -> None:
    """Give an instance that is indexed its final name again, where a removal of what lay there before has taken it meanwhile."""
    if not final.exists():
        _link(arriving, final)
        sync_folder(final.parent)


def check_uid(name: str, uid: str) -> None:
    """Raise InvalidUid unless `uid` is digits and single dots, at most 64 characters: PS3.5 9.1.

    Leading zeros of a component pass, which the standard forbids and devices write.
    """
    if len(uid) > 64 or not _UID(uid):
        raise InvalidUid(f"{name} of {len(uid)} characters isn't a UID: digits and dots, at most 64 characters, PS3.5 9.1")


def _link(arriving: Path, final: Path) -> bool:
    """Give a file another name unless that is taken; True: given."""
    while True:
        try:
            os.link(arriving, final)
        except FileExistsError:
            return False
        except FileNotFoundError:  # the first of its series; or its folder is being removed
            if not arriving.exists():
                raise
            make_folder(final.parent)
        else:
            return True
