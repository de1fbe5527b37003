"""A whole node as its own processes, configured for one archive on loopback."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from cad_node.deliver.echo import echo
from cad_node.errors import CadNodeError, PacsUnreachable
from cad_node.settings import Destination, Settings, read_settings

START_LIMIT_S = 60.0


class NodeDied(CadNodeError):
    """The node's processes ended although nobody asked them to."""


class DemoNode:
    """`cad-node serve` in `folder`, delivering to the archive on `archive_port`; a context manager that drains it at the end."""

    def __init__(self, folder: Path, archive_ae_title: str, archive_port: int, models_dir: Path) -> None:
        self.config = folder / "cad_node.toml"
        self.log = folder / "node.log"
        self.port = _free_port()
        self.config.write_text(_CONFIG.format(folder=folder, port=self.port, ae=archive_ae_title, archive=archive_port, models=models_dir))
        self.settings: Settings = read_settings(self.config)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "DemoNode":
        command = [sys.executable, "-m", "cad_node.cli", "--config", str(self.config), "serve"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, stderr=log, stdout=log)
        self._wait_until_it_answers()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(90)

    def require_alive(self) -> None:
        """Raises NodeDied if the processes have ended."""
        if self._process and self._process.poll() is not None:
            raise NodeDied(f"the node ended with status {self._process.returncode}; its last words are in {self.log}")

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        itself = Destination(ae_title=self.settings.node.ae_title, host="127.0.0.1", port=self.port)
        while True:
            self.require_alive()
            try:
                return echo(itself, "DEMO", 5)
            except PacsUnreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_CONFIG = """\
[node]
data_dir = "{folder}"
[scp]
host = "127.0.0.1"
port = {port}
[completeness]
association_end_s = 1
[models]
dir = "{models}"
[queue]
poll_s = 0.2
[destinations.archive]
ae_title = "{ae}"
host = "127.0.0.1"
port = {archive}
"""
