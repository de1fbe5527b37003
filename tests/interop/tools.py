"""Other people's programs, where they are installed; a test whose program is missing skips and says so."""

import shutil
import subprocess
import sys
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
