"""A whole node as its own processes, configured for one archive on loopback."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from cad_node.deliver.echo import echo
from cad_node.errors import CadNodeError, PacsUnreachable
from cad_node.settings import Destination, Settings, read_settings

START_LIMIT_S = 60.0
STOP_LIMIT_S = 90.0
_LAST_LINES = 5


class NodeDied(CadNodeError):
    """The node's processes ended although nobody asked them to."""


class DemoNode:
    """`cad-node serve` in `folder`, delivering to the archive on `archive_port`; a context manager that drains it at the end.

    Whoever runs it may have a node and CAD_NODE_* variables: they don't reach this one.
    """

    def __init__(self, folder: Path, archive_ae_title: str, archive_port: int, models_dir: Path) -> None:
        self.config = folder / "cad_node.toml"
        self.log = folder / "node.log"
        self.port = _free_port()
        data, models = (json.dumps(str(path), ensure_ascii=False) for path in (folder, models_dir))
        text = _CONFIG.format(data=data, port=self.port, ae=archive_ae_title, archive=archive_port, models=models)
        self.config.write_text(text, encoding="utf-8")
        with _without_own_settings():
            self.settings: Settings = read_settings(self.config)
        self.address = Destination(ae_title=self.settings.node.ae_title, host="127.0.0.1", port=self.port)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "DemoNode":
        command = [sys.executable, "-m", "cad_node.cli", "--config", str(self.config), "serve", "--supervised"]
        with self.log.open("wb") as log, _without_own_settings():
            # The pipe ends with this process, however it ends: the node never outlives it.
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log, stdout=log)
        try:
            self._wait_until_it_answers()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def require_alive(self) -> None:
        """Raises NodeDied if the processes have ended."""
        if self._process and not self.is_alive():
            raise NodeDied(f"the node ended with status {self._process.returncode}; {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log, which goes with the folder."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        return "the end of its log:\n" + "\n".join(lines)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            self.require_alive()
            try:
                return echo(self.address, "DEMO", 5)
            except PacsUnreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its children end by themselves then
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()


@contextmanager
def _without_own_settings() -> Iterator[None]:
    """A variable outranks a file: while this lasts, there is none."""
    own = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("CAD_NODE_")}
    try:
        yield
    finally:
        os.environ.update(own)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_CONFIG = """\
[node]
data_dir = {data}
[scp]
host = "127.0.0.1"
port = {port}
[completeness]
association_end_s = 1
[models]
dir = {models}
[queue]
poll_s = 0.2
backoff_first_s = 1
max_attempts = 2
[sender]
backoff_first_s = 1
[destinations.archive]
ae_title = "{ae}"
host = "127.0.0.1"
port = {archive}
"""
