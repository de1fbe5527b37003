"""Other people's programs, where they are installed; a test whose program is missing skips and says so."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def tool(name: str, package: str) -> str:
    """Where a program lies: beside this Python or on the path; else the test skips."""
    found = shutil.which(name, path=Path(sys.executable).parent) or shutil.which(name)
    if not found:
        pytest.skip(f"{name} isn't installed ({package})")
    return found


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def dciodvfy_errors(*files: Path) -> list[str]:
    """What dicom3tools' validator calls an error."""
    dciodvfy = tool("dciodvfy", "Debian package dicom3tools")
    said = [line for file in files for line in run(dciodvfy, file).stderr.splitlines()]
    assert any(not line.startswith(("Error", "Warning")) for line in said), "dciodvfy names the IOD it found"
    return [line for line in said if line.startswith("Error")]


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """A server, from when it listens until the end of the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not _listens(port):
            assert process.poll() is None, f"{command[0]} ended"
            assert time.monotonic() < deadline, f"{command[0]} doesn't listen"
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    """By the kernel's list: a connection to try would be an association to the server."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)
