"""Files into a folder: each appears under its name only when all of it is on the disk."""

import os
import shutil
from collections.abc import Generator, Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from cad_node.deliver.layout import filed_as
from cad_node.deliver.part10 import unreadable
from cad_node.deliver.transport import Outcome
from cad_node.disk import sync_folder
from cad_node.settings import FolderDestination


class Folder:
    """A Transport. What is there under the same name gives way to the same object."""

    def __init__(self, to: FolderDestination) -> None:
        umask = int(to.umask, 8)
        self._folder, self._layout = to.path, to.layout
        self._file_mode, self._folder_mode = 0o666 & ~umask, 0o777 & ~umask

    def send(self, files: Sequence[Path]) -> Generator[Outcome, None, None]:
        """One Outcome per file, in order. Whatever the disk says may pass: it is made room on, or mounted again."""
        for path in files:
            name = filed_as(self._layout, path)
            yield name if isinstance(name, Outcome) else self._file(path, self._folder / name)

    def _file(self, path: Path, target: Path) -> Outcome:
        try:
            source = path.open("rb")
        except OSError as exc:
            return unreadable(path, exc)
        with source:
            try:
                self._make_folder(target.parent)
                self._write(source, target)
            except OSError as exc:
                if not self._folder.is_dir():
                    return Outcome(False, True, f"folder {self._folder}: {exc.strerror or exc}; make it, or mount its share")
                return Outcome(False, True, f"{self._folder} doesn't take {target.name}: {exc.strerror or exc}")
        return Outcome.success("written")

    def _make_folder(self, folder: Path) -> None:
        """Each durably. The destination itself isn't made: where it is missing, a share isn't mounted."""
        if folder == self._folder or folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(self._folder_mode)  # the process has a umask of its own
        sync_folder(folder.parent)

    def _write(self, source: BufferedReader, target: Path) -> None:
        """Under a name of its own, then under its name; a crash leaves only the former, for the next attempt to write over."""
        part = target.with_name(f".{target.name}.part")
        try:
            with part.open("wb") as file:
                os.fchmod(file.fileno(), self._file_mode)
                shutil.copyfileobj(source, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)
