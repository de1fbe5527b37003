"""A node as its processes, seen from outside: started, killed, and asked what it holds."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydicom import dcmread

from cad_node.deliver.echo import echo
from cad_node.errors import CadNodeError
from cad_node.settings import Destination
from cad_node.shipped import shipped
from tests.e2e.ports import free_port

LIMIT_S = 90.0
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "0"))  # 0: as many as a test takes by itself


class Node:
    """One folder, one configuration; every verb a process of its own.

    What it sends to `pacs_port` are refusals, one short report for each study: the whole way without the minutes of an analysis.
    """

    def __init__(
        self,
        folder: Path,
        pacs_port: int | None = None,
        database_url: str = "",
        retention: Mapping[str, float] = MappingProxyType({}),
        **scp: Any,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.data = folder, folder / "data"
        self.port = free_port()
        self.address = Destination(ae_title="CAD_NODE", host="127.0.0.1", port=self.port)
        self.environment: Mapping[str, str] = {}
        self._config = folder / "cad_node.toml"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        text = _CONFIG.format(
            data=json.dumps(str(self.data)),
            url=database_url,
            port=self.port,
            scp=_keys({"min_free_mb": 0} | scp),
            models=json.dumps(str(shipped("models"))),
            retention=_keys({"free_below_mb": 0} | dict(retention)),
        )
        self._config.write_text(text + (_PACS.format(port=pacs_port) if pacs_port else ""))

    def __enter__(self) -> "Node":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait(30)

    def start(self, *verbs: str) -> None:
        """Start processes; a listener is waited for."""
        for verb in verbs:
            command = [sys.executable, "-m", "cad_node.cli", "--config", str(self._config), verb]
            with (self.folder / f"{verb}.log").open("ab") as log:
                self._running[verb] = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **self.environment})
        if {"scp", "serve"} & set(verbs):
            wait_for(self.answers, f"the listener of {self.folder}")

    def kill(self, verb: str) -> None:
        """SIGKILL, as the kernel does it when memory is short."""
        process = self._running.pop(verb)
        assert process.poll() is None, f"{verb} had ended by itself with {process.returncode}; see {self.folder / verb}.log"
        process.kill()
        process.wait(30)

    def stop(self, verb: str) -> None:
        """SIGTERM, and what it has begun is finished."""
        process = self._running.pop(verb)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, f"{verb} ended with {process.returncode}; see {self.folder / verb}.log"

    def answers(self) -> bool:
        try:
            echo(self.address, "FAULTS", 5)
        except CadNodeError:
            return False
        return True

    def ask(self, *arguments: str) -> Any:
        """What a command prints as JSON."""
        return json.loads(self.tell(*arguments, "--json"))

    def tell(self, *arguments: str) -> str:
        """Run a command; what it prints."""
        command = [sys.executable, "-m", "cad_node.cli", "--config", str(self._config), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def is_over(self, studies: int) -> bool:
        """Whether so many studies have each had an answer, and every answer has arrived."""
        jobs = self.ask("jobs", "list", "--limit", "100000")
        ended = all(job["state"] == "refused" and job["delivered"] == job["deliveries"] == 1 for job in jobs)
        return ended and len({job["study_instance_uid"] for job in jobs}) == studies

    def results(self) -> list[str]:
        """The SOP Instance UIDs of what it made and has delivered or will deliver."""
        return [one["sop_instance_uid"] for one in self.ask("deliveries", "list", "--limit", "100000")]

    def indexed(self) -> dict[str, int]:
        """Study Instance UID -> how many of its instances the index knows."""
        return {study["study_instance_uid"]: study["instances"] for study in self.ask("studies", "list", "--limit", "100000")}

    def found(self) -> dict[str, Path]:
        """SOP Instance UID -> its file; each is read."""
        return {str(dcmread(path).SOPInstanceUID): path for path in (self.data / "spool" / "instances").rglob("*.dcm")}


def rounds(by_itself: int) -> range:
    """How often a fault happens: FAULT_ROUNDS, or what a test takes by itself."""
    return range(ROUNDS or by_itself)


def seeded() -> random.Random:
    """Random moments that can be had again: FAULT_SEED."""
    seed = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"FAULT_SEED={seed}")
    return random.Random(seed)


def wait_for(true: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, f"waited {limit_s:.0f} s for {what}"
        time.sleep(0.1)


def _keys(section: Mapping[str, Any]) -> str:
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in section.items())


_CONFIG = """\
[node]
data_dir = {data}
[database]
url = "{url}"
[scp]
host = "127.0.0.1"
port = {port}
{scp}
[completeness]
quiet_s = 2
association_end_s = 0.5
[models]
dir = {models}
enabled = ["lung_nodule_ct"]
[worker]
threads = 1
[queue]
lease_s = 2
poll_s = 0.1
backoff_first_s = 0.2
backoff_longest_s = 1
max_attempts = 1000
max_crashes = 1000
[sender]
backoff_first_s = 0.2
backoff_longest_s = 1
timeout_s = 5
[retention]
{retention}
"""
_PACS = """\
[destinations.pacs]
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {port}
objects = ["refusal"]
"""
