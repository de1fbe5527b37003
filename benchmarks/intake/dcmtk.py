"""DCMTK's tools; pynetdicom's have the same names, and come first where a virtual environment is active."""

import os
import shutil
import sys
from pathlib import Path

_ELSEWHERE = os.pathsep.join(folder for folder in os.get_exec_path() if Path(folder) != Path(sys.executable).parent)


def dcmtk(tool: str) -> str:
    """The path of a tool; empty where there is none."""
    return shutil.which(tool, path=_ELSEWHERE) or ""
