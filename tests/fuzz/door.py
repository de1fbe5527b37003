"""A listening process under fire: what it is told, what it answers, and whether it is still the same afterwards."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cad_node.deliver.messages import COMMAND, STATUS, command_elements, fragments
from tests.fuzz.conversations import SERIES, STUDY, good_conversation
from tests.receive.front_door import wait_until

HANGS_AFTER_S = 30  # a watchdog, not a measure: the listener's own timeouts are 5 s
_RELEASED = b"\6\0\0\0\0\4\0\0\0\0"  # A-RELEASE-RP
_SOP_INSTANCE, _FIELD, _STORE_ANSWER, _ECHO_ANSWER = 0x1000, 0x0100, 0x8001, 0x8030


@dataclass
class Door:
    process: subprocess.Popen[str]
    port: int
    folder: Path
    probes: int = 0

    def tell(self, stream: bytes, patience_s: float = 0) -> bytes:
        """Say all of it, and hear all that is answered; half the connection closes once nothing has been answered for `patience_s`.

        Raises TimeoutError if the other half then isn't closed.
        """
        with socket.create_connection(("127.0.0.1", self.port), HANGS_AFTER_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            early = b""
            with suppress(OSError):  # it may have heard enough
                connection.sendall(stream)
                early = b"".join(_heard_for(connection, patience_s)) if patience_s else b""
                connection.shutdown(socket.SHUT_WR)
            return early + b"".join(_heard(connection))

    def check_acknowledged(self, answer: bytes) -> int:
        """Whatever was answered with success is stored, and has its name before long; how many instances."""
        stored = [
            command[_SOP_INSTANCE].rstrip(b"\0").decode()
            for command in commands(answer)
            if number(command, _FIELD) == _STORE_ANSWER and number(command, STATUS) == 0
        ]
        for uid in stored:
            self._check_stored(uid)
        return len(stored)

    def _check_stored(self, sop_instance_uid: str) -> None:
        assert "/" not in sop_instance_uid
        instances = self.folder / "spool" / "instances"
        usual = instances / STUDY / SERIES / f"{sop_instance_uid}.dcm"  # mutations change the study too
        wait_until(lambda: usual.is_file() or any(instances.rglob(usual.name)), HANGS_AFTER_S)

    def check_serves(self) -> None:
        """C-ECHO is answered and a good instance taken."""
        self.probes += 1
        uid = f"1.2.3.0.{self.probes}"
        answers = list(commands(self.tell(b"".join(good_conversation(uid, 4096)), patience_s=HANGS_AFTER_S)))
        assert [number(command, _FIELD) for command in answers] == [_ECHO_ANSWER, _STORE_ANSWER]
        assert [number(command, STATUS) for command in answers] == [0, 0]
        self._check_stored(uid)

    def memory_mb(self) -> float:
        """The most it has had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@contextmanager
def opened_door(folder: Path) -> Iterator[Door]:
    command = [sys.executable, "-B", "-W", "ignore", "-m", "tests.fuzz.listening", str(folder / "node")]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        assert process.stdout
        try:
            yield Door(process, int(process.stdout.readline()), folder / "node")
            assert process.poll() is None, f"the listener ended with {process.poll()}: {(folder / 'log').read_text()[-2000:]}"
        finally:
            process.kill()


def commands(answer: bytes) -> Iterator[dict[int, bytes]]:
    """The command sets in what was answered; each comes in one PDU, from this listener."""
    place = 0
    while place + 6 <= len(answer):
        length = int.from_bytes(answer[place + 2 : place + 6], "big")
        pdu, place = answer[place : place + 6 + length], place + 6 + length
        if pdu[0] == 4 and len(pdu) == 6 + length:
            yield from (command_elements(fragment) for _, control, fragment in fragments(pdu) if control & COMMAND)


def number(command: dict[int, bytes], element: int) -> int:
    return int.from_bytes(command.get(element, b"\xff\xff"), "little")


def _heard_for(connection: socket.socket, patience_s: float) -> Iterator[bytes]:
    """Until nothing comes for so long, or the association's release is answered."""
    connection.settimeout(patience_s)
    with suppress(TimeoutError, ConnectionError):
        while chunk := connection.recv(65_536):
            yield chunk
            if chunk.endswith(_RELEASED):
                break
    connection.settimeout(HANGS_AFTER_S)


def _heard(connection: socket.socket) -> Iterator[bytes]:
    deadline = time.monotonic() + HANGS_AFTER_S
    with suppress(ConnectionError):
        while chunk := connection.recv(65_536):
            yield chunk
            if time.monotonic() > deadline:
                raise TimeoutError("the listener goes on answering")
