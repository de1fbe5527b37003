"""The receivers that are compared: each a process of its own on loopback, with an empty store."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.intake.dcmtk import dcmtk
from benchmarks.intake.least import COMPILER

ORTHANC = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin")
START_LIMIT_S = 60


@dataclass(frozen=True, slots=True)
class Receiver:
    name: str
    command: Callable[[int, Path], Sequence[str]]  # port, folder of its own -> what to run
    stored: Callable[[Path], int]  # instances found in its folder
    missing: str = ""  # why it can't be run here


@dataclass(slots=True)
class Running:
    port: int
    process: subprocess.Popen[bytes]
    folder: Path

    def peak_mb(self) -> float:
        """The most memory that the process which listens has had at once, without those that it forks."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def receivers() -> list[Receiver]:
    """DCMTK's in its two settings, Orthanc, ours with fsync and without, and one that does nothing else."""
    no_dcmtk = "" if dcmtk("storescp") else "DCMTK's storescp isn't installed"
    no_orthanc = "" if ORTHANC else "Orthanc isn't installed"
    return [
        Receiver("storescp --fork", _storescp(), _files, no_dcmtk),
        Receiver("storescp --fork +B -pdu 131072", _storescp("+B", "-pdu", "131072"), _files, no_dcmtk),
        Receiver("Orthanc", _orthanc, _orthanc_files, no_orthanc),
        Receiver("cad_node", _cad_node(durable=True), _instances),
        Receiver("cad_node without fsync", _cad_node(durable=False), _instances),
        Receiver("the least that is durable, in C", _least, _files, "" if COMPILER else "there is no C compiler"),
    ]


@contextmanager
def running(receiver: Receiver, folder: Path, nodelay: str) -> Iterator[Running]:
    """The receiver, ready, on a free port. Afterwards what it wrote is on the disk, and stays, so that the next finds nothing to wait for.

    A file system looks for a place longer where files have just been removed, and writes out for one what another left behind.
    nodelay: DCMTK's environment variable TCP_NODELAY; its receivers, too, leave Nagle's algorithm on by themselves.
    """
    folder.mkdir(parents=True)
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            receiver.command(port, folder), stdout=log, stderr=log, env=_environment(folder, nodelay), start_new_session=True
        )
    try:
        _wait_until_it_listens(port, process, folder)
        yield Running(port, process, folder)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # and what it has forked
        process.wait()
        os.sync()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(folder: Path, nodelay: str) -> Mapping[str, str]:
    """Without settings of a node that whoever runs this may have."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("CAD_NODE_")}
    return others | {"CAD_NODE_CONFIG": str(folder / "cad_node.toml"), "TCP_NODELAY": nodelay}


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as exc:
            if process.poll() is not None or time.monotonic() > deadline:
                log = (folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:]
                raise SystemExit(f"{process.args} doesn't listen:\n{log}") from exc
            time.sleep(0.1)
        else:
            time.sleep(0.3)  # the connection just made is dealt with
            return


def _storescp(*options: str) -> Callable[[int, Path], Sequence[str]]:
    def command(port: int, folder: Path) -> Sequence[str]:
        (folder / "stored").mkdir()
        # +xa: every transfer syntax, as the others; without it JPEG 2000 isn't taken
        return [dcmtk("storescp"), "--fork", "+xa", *options, "-od", str(folder / "stored"), str(port)]

    return command


def _least(port: int, folder: Path) -> Sequence[str]:
    (folder / "stored").mkdir()
    return [sys.executable, "-m", "benchmarks.intake.least", str(port), str(folder / "stored"), "2"]


def _orthanc(port: int, folder: Path) -> Sequence[str]:
    config = {
        "StorageDirectory": str(folder / "stored"),
        "IndexDirectory": str(folder / "stored"),
        "HttpPort": free_port(),
        "DicomPort": port,
        "DicomAlwaysAllowStore": True,
        "DicomCheckCalledAet": False,
        "RemoteAccessAllowed": False,
    }
    (folder / "orthanc.json").write_text(json.dumps(config), encoding="utf-8")
    return [str(ORTHANC), str(folder / "orthanc.json")]


def _cad_node(durable: bool) -> Callable[[int, Path], Sequence[str]]:
    def command(port: int, folder: Path) -> Sequence[str]:
        (folder / "cad_node.toml").write_text(
            f'[node]\ndata_dir = "{folder}"\n[scp]\nhost = "127.0.0.1"\nport = {port}\nfsync = {str(durable).lower()}\n', encoding="utf-8"
        )
        return [sys.executable, "-m", "cad_node.cli.processes", "scp"]

    return command


def _files(folder: Path) -> int:
    return sum(path.stat().st_size > 0 for path in (folder / "stored").iterdir())


def _orthanc_files(folder: Path) -> int:
    """Each instance is a file, and one of JSON beside it in older versions: the large ones are counted."""
    return sum(path.is_file() and path.stat().st_size > 50_000 and path.suffix == "" for path in (folder / "stored").glob("??/??/*"))


def _instances(folder: Path) -> int:
    return sum(1 for _ in (folder / "spool" / "instances").rglob("*.dcm"))
