"""DCMTK's storescu as the sender: one association, or several processes at once."""

import os
import subprocess
import time
from pathlib import Path

from benchmarks.intake.dcmtk import dcmtk


def send(folder: Path, port: int, associations: int, nodelay: str) -> float:
    """Send every file of the folder, each once, over so many associations at once. Returns the seconds it took.

    nodelay: DCMTK's environment variable TCP_NODELAY: "0" leaves Nagle's algorithm on, as its tools do by themselves.
    """
    files = sorted(map(str, folder.iterdir()))
    environment = os.environ | {"TCP_NODELAY": nodelay}
    commands = [
        [dcmtk("storescu"), "-R", "-xv", "--max-send-pdu", "131072", "127.0.0.1", str(port), *files[number::associations]]
        for number in range(associations)
    ]
    start = time.perf_counter()
    processes = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for command in commands]
    failed = [process.communicate()[1] for process in processes if process.wait()]
    seconds = time.perf_counter() - start
    if failed:
        raise SystemExit(failed[0].decode(errors="replace")[-2000:])
    return seconds
