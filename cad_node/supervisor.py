"""Keeps the node's processes running: starts them, restarts the one that dies, and drains them all on SIGTERM."""

import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from cad_node.log import get_logger

log = get_logger()

EX_CONFIG = 78  # sysexits.h: the process can't run as configured; starting it again won't help
RESTART_FIRST_S, RESTART_LONGEST_S = 0.5, 30.0
STABLE_S = 60.0  # a process that ran so long starts afresh with the short wait


@dataclass(slots=True)
class Child:
    """One supervised process and how it has fared."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restart_at: float = 0.0
    wait_s: float = field(default=RESTART_FIRST_S)

    def start(self) -> None:
        # The pipe ends with this process, however it ends: a child never outlives its supervisor.
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE)
        self.started = monotonic()
        log.info("process.started", process=self.name, pid=self.process.pid)


class Supervisor:
    """Runs one process per command until told to stop.

    on_death: called with a process' name and pid after it died by itself, so that its leases can be given to others at once.
    """

    def __init__(self, commands: Mapping[str, Sequence[str]], on_death: Callable[[str, int], None], drain_s: float = 60.0) -> None:
        self._children = [Child(name, command) for name, command in commands.items()]
        self._on_death = on_death
        self._drain_s = drain_s

    def run(self, stop: threading.Event) -> int:
        """Supervise until `stop` is set or a process can't run as configured. Returns the exit status: 0, or that process' own."""
        status = 0
        for child in self._children:
            child.start()
        while not stop.is_set() and not status:
            status = max((self._look_after(child) for child in self._children), default=0)
            stop.wait(0.1)
        self._drain()
        return status

    def _look_after(self, child: Child) -> int:
        """Restart the child when it is due. Returns EX_CONFIG if it says that it can't run, else 0."""
        if child.process is None:
            if monotonic() >= child.restart_at:
                child.start()
            return 0
        code = child.process.poll()
        if code is None:
            return 0
        _close(child.process)
        log.error("process.died", process=child.name, pid=child.process.pid, status=code)
        self._report(child.name, child.process.pid)
        if code == EX_CONFIG:
            return code
        lived_s = monotonic() - child.started
        child.wait_s = RESTART_FIRST_S if lived_s > STABLE_S else min(child.wait_s * 2, RESTART_LONGEST_S)
        child.process, child.restart_at = None, monotonic() + child.wait_s
        return 0

    def _report(self, name: str, pid: int) -> None:
        try:
            self._on_death(name, pid)
        except Exception:
            log.exception("process.leases_not_released", process=name, pid=pid)

    def _drain(self) -> None:
        """Ask every child to finish what it holds; kill those that haven't after `drain_s`."""
        running = [child.process for child in self._children if child.process and child.process.poll() is None]
        for process in running:
            process.terminate()
        deadline = monotonic() + self._drain_s
        for process in running:
            try:
                process.wait(max(0.0, deadline - monotonic()))
            except subprocess.TimeoutExpired:
                log.error("process.killed", pid=process.pid, reason=f"not drained after {self._drain_s:.0f} s")
                process.kill()
                process.wait()
            _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    """Let go of an ended process' pipe."""
    if process.stdin:
        process.stdin.close()
