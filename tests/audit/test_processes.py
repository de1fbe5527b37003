"""Several processes on one log, and their deaths."""

import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

from cad_node.audit.audit_log import AuditLog, log_files
from cad_node.audit.reading import records_after
from cad_node.audit.verify import verify
from tests.audit.conftest import NOON

WRITERS, RECORDS = 3, 120
DEATHS = 6


def writer(folder: Path, name: str, count: int, *limit: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.audit.appending", str(folder), name, str(count), *map(str, limit)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def written(folder: Path) -> list[tuple[str, int]]:
    parts = (record.message.split() for _, record in records_after(folder))
    return [(name, int(number)) for name, number in parts]


def test_processes_and_threads_that_append_at_once_make_one_chain(folder: Path):
    log = AuditLog(folder, 20_000, fsync=False)
    processes = [writer(folder, f"process{number}", RECORDS) for number in range(WRITERS)]
    threads = [
        threading.Thread(target=lambda name: [log.append(f"{name} {number}", NOON) for number in range(RECORDS)], args=[f"thread{number}"])
        for number in range(WRITERS)
    ]

    for thread in threads:
        thread.start()
    for process in processes:
        process.communicate()
    for thread in threads:
        thread.join()
    log.close()

    found = verify(folder, {})
    all_written = written(folder)
    assert (found.broken, found.records, found.torn) == (None, 2 * WRITERS * RECORDS, 0)
    assert len(log_files(folder)) > 3
    for name in {name for name, _ in all_written}:
        assert [number for of, number in all_written if of == name] == list(range(RECORDS))


def test_processes_killed_while_they_append_lose_nothing_that_they_had_done(folder: Path):
    rng = random.Random(7)
    acknowledged = []
    for death in range(DEATHS):
        process = writer(folder, f"life{death}", 100_000)
        process.stdout.readline()
        threading.Event().wait(rng.uniform(0, 0.05))
        process.kill()
        acknowledged += [(f"life{death}", number) for number in range(1 + process.communicate()[0].count("\n"))]

    all_written = written(folder)
    found = verify(folder, {})
    print(f"{len(acknowledged)} acknowledged, {len(all_written)} found, {found.torn} lines torn off")

    assert found.broken is None
    assert set(acknowledged) <= set(all_written)
    assert len(all_written) <= len(acknowledged) + DEATHS


def test_a_death_in_mid_write_costs_no_more_than_the_line_it_tore(folder: Path):
    acknowledged = []
    for death, limit in enumerate((2_000, 5_001, 7_777)):
        process = writer(folder, f"life{death}", 100_000, limit)
        acknowledged += [(f"life{death}", number) for number in range(process.communicate()[0].count("\n"))]
        assert process.returncode == -signal.SIGXFSZ
    AuditLog(folder, 20_000, fsync=False).append("survivor 0", NOON)

    found = verify(folder, {})

    assert (found.broken, found.torn) == (None, 3)
    assert written(folder) == [*acknowledged, ("survivor", 0)]
