"""C that stands in for the system's, built for a test."""

import shutil
import subprocess
from pathlib import Path

import pytest


def preload(name: str, folder: Path) -> Path:
    """The library of tests/faults/<name>.c for LD_PRELOAD; skips without a compiler."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("the system's calls can't be replaced: there is no C compiler, cc")
    library = folder / f"{name}.so"
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(library), str(source)], check=True)
    return library
