"""The supervisor: a process that dies is started again, one that can't run ends the node, and a stop drains them all."""

import subprocess
import sys
import threading
import time
from pathlib import Path

from cad_node.supervisor import EX_CONFIG, Supervisor

DIES_ONCE = """
import pathlib, sys, time
marker = pathlib.Path(sys.argv[1])
first = not marker.exists()
marker.write_text(marker.read_text() + "x" if marker.exists() else "x")
if first: sys.exit(3)
time.sleep(60)
"""
DRAINS = """
import pathlib, signal, sys, time
def drain(*_):
    time.sleep(0.3)
    pathlib.Path(sys.argv[1]).write_text("drained")
    sys.exit(0)
signal.signal(signal.SIGTERM, drain)
pathlib.Path(sys.argv[1]).write_text("running")
time.sleep(60)
"""
IGNORES_SIGTERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def run(supervisor: Supervisor) -> tuple[threading.Event, threading.Thread, list[int]]:
    stop, status = threading.Event(), []
    thread = threading.Thread(target=lambda: status.append(supervisor.run(stop)))
    thread.start()
    return stop, thread, status


def wait_for_text(file: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while not (file.exists() and file.read_text() == text):
        assert time.monotonic() < deadline, f"{file} never held {text!r}"
        time.sleep(0.05)


def test_a_process_that_dies_is_reported_and_started_again(tmp_path):
    deaths = []
    supervisor = Supervisor({"worker cpu": python(DIES_ONCE, tmp_path / "starts")}, lambda name, pid: deaths.append((name, pid)))

    stop, thread, status = run(supervisor)
    wait_for_text(tmp_path / "starts", "xx")
    stop.set()
    thread.join(20)

    assert [name for name, _ in deaths] == ["worker cpu"]
    assert status == [0]


def test_a_process_that_cannot_run_as_configured_ends_the_node_with_its_status(tmp_path):
    file = tmp_path / "other"
    supervisor = Supervisor({"worker cuda:0": python(f"import sys; sys.exit({EX_CONFIG})"), "scp": python(DRAINS, file)}, lambda *_: None)

    _, thread, status = run(supervisor)
    thread.join(20)

    assert status == [EX_CONFIG]


def test_a_stop_lets_every_process_drain(tmp_path):
    files = [tmp_path / "one", tmp_path / "two"]
    supervisor = Supervisor({file.name: python(DRAINS, file) for file in files}, lambda *_: None)

    stop, thread, status = run(supervisor)
    for file in files:
        wait_for_text(file, "running")
    stop.set()
    thread.join(20)

    assert [file.read_text() for file in files] == ["drained", "drained"]
    assert status == [0]


def test_a_process_that_does_not_drain_in_time_is_killed():
    supervisor = Supervisor({"stubborn": python(IGNORES_SIGTERM)}, lambda *_: None, drain_s=0.5)

    stop, thread, status = run(supervisor)
    time.sleep(0.5)
    stop.set()
    thread.join(20)

    assert status == [0]


def test_a_failing_report_does_not_keep_the_process_from_starting_again(tmp_path):
    def database_is_away(name: str, pid: int) -> None:
        raise ConnectionError

    supervisor = Supervisor({"worker cpu": python(DIES_ONCE, tmp_path / "starts")}, database_is_away)

    stop, thread, _ = run(supervisor)
    wait_for_text(tmp_path / "starts", "xx")
    stop.set()
    thread.join(20)

    assert not thread.is_alive()


def test_no_process_outlives_a_supervisor_that_was_killed(tmp_path):
    config = tmp_path / "cad_node.toml"
    config.write_text(f'[node]\ndata_dir = "{tmp_path}"\n')
    holder = f"""
import subprocess, sys, time
command = [sys.executable, "-m", "cad_node.cli", "--config", {str(config)!r}, "sender", "--supervised"]
child = subprocess.Popen(command, stdin=subprocess.PIPE)
print(child.pid, flush=True)
time.sleep(60)
"""
    supervisor = subprocess.Popen(python(holder), stdout=subprocess.PIPE)
    pid = int(supervisor.stdout.readline())

    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()

    deadline = time.monotonic() + 30
    while _runs(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
