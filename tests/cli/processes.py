"""The node's processes as a service manager starts them, with their logs in a file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deliver.peers import unused_port

LIMIT_S = 60.0


class Process:
    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.popen, self._log = popen, log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for(self, text: str, times: int = 1) -> None:
        """Until the log says it."""
        wait_until(lambda: self.log.count(text) >= times or self.popen.poll() is not None, f"{text!r} in:\n{self.log}")
        assert self.log.count(text) >= times, f"it ended with {self.popen.poll()} and never said {text!r}:\n{self.log}"

    def terminate(self) -> int:
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(LIMIT_S)


@contextmanager
def running(config: Path, *arguments: str, module: str = "cad_node.cli") -> Iterator[Process]:
    """A process of the node; killed at the end if it still runs."""
    log = config.parent / "log.txt"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CAD_NODE_")} | {"CAD_NODE_CONFIG": str(config)}
    with log.open("wb") as file:
        popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=file, stderr=file, env=environment
        )
    try:
        yield Process(popen, log)
    finally:
        popen.kill()
        popen.wait()
        popen.stdin.close()


def write_config(folder: Path, text: str = "") -> tuple[Path, int]:
    """Settings on a free port of the loopback interface; the file and the port."""
    port = unused_port()
    file = folder / "node.toml"
    file.write_text(f'[node]\ndata_dir = "{folder / "data"}"\n[scp]\nhost = "127.0.0.1"\nport = {port}\nmin_free_mb = 1\n{text}')
    return file, port


def wait_until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline, f"waited {LIMIT_S:.0f} s for {what}"
        time.sleep(0.1)
