"""Starts the functions of children.py and hears from them."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

# Forked from a clean server: children of this process itself would share its database connections.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["__main__", "tests.store.children"])


def race(target: Callable[..., None], where: Any, names: tuple[str, ...]) -> list[Any]:
    """Run target(where, name, barrier, connection) in one process per name, all at once; what each reported."""
    start = _PROCESSES.Barrier(len(names))
    ears, children = [], []
    for name in names:
        ear, mouth = _PROCESSES.Pipe(duplex=False)
        children.append(_PROCESSES.Process(target=target, args=(where, name, start, mouth)))
        ears.append((ear, mouth))
        children[-1].start()
    reports = [_hear(ear) for ear, _ in ears]
    for child, (ear, mouth) in zip(children, ears, strict=True):
        child.join()
        ear.close()
        mouth.close()
        assert child.exitcode == 0
    return reports


def kill_when_it_reports(target: Callable[..., None], *args: Any) -> Any:
    """Run target(*args, connection) until it reports, and kill -9 it there; returns the report."""
    ear, mouth = _PROCESSES.Pipe(duplex=False)
    child = _PROCESSES.Process(target=target, args=(*args, mouth))
    child.start()
    report = _hear(ear)
    child.kill()
    child.join()
    ear.close()
    mouth.close()
    return report


def _hear(ear: Connection) -> Any:
    assert ear.poll(60), "the child process says nothing"
    return ear.recv()
