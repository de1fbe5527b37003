"""A power cut, simulated: what was never synchronised is gone."""

import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.faults.preload import preload

_SYNC_ALL = """
import os, sys
for folder, _, names in os.walk(sys.argv[1]):
    for path in (folder, *(os.path.join(folder, name) for name in names)):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
"""  # what is there when the power comes back is durable


@dataclass(frozen=True, slots=True)
class Power:
    """Of the processes that run in `environment`, whose data lie below `root`."""

    root: Path
    kept: Path
    shared_object: Path

    @property
    def environment(self) -> Mapping[str, str]:
        return {"LD_PRELOAD": str(self.shared_object), "POWER_ROOT": str(self.root), "POWER_KEPT": str(self.kept)}

    def cut(self) -> int:
        """Leave below the root what was durable; the processes have been killed. Returns how many files lost content or name."""
        before = self.root.with_name("before the cut")
        self.root.rename(before)
        self._restore("d-root", self.root)
        lost = [path for path in before.rglob("*") if path.is_file() and not _same(path, self.root / path.relative_to(before))]
        shutil.rmtree(before)
        shutil.rmtree(self.kept)
        self.kept.mkdir()
        subprocess.run([sys.executable, "-c", _SYNC_ALL, self.root], env={**os.environ, **self.environment}, check=True)
        return len(lost)

    def _restore(self, identity: str, copy: Path) -> None:
        record = self.kept / identity
        if identity.startswith("f"):
            copy.write_bytes(record.read_bytes() if record.exists() else b"")
            return
        copy.mkdir()
        for line in record.read_text().splitlines() if record.exists() else ():
            entry, name = line.split(" ", 1)
            self._restore(entry, copy / name)


def _same(path: Path, copy: Path) -> bool:
    return copy.is_file() and filecmp.cmp(path, copy, shallow=False)


def power(folder: Path) -> Power:
    """For the data in folder/data; skips without a compiler."""
    kept = folder / "kept"
    kept.mkdir()
    return Power(folder / "data", kept, preload("power_loss", folder))
