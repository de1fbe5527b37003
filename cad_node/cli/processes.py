"""serve, scp, worker, sender: the processes of the node. Each imports only what it needs: the listener stays small."""

import os
import signal
import sys
import threading
from typing import Annotated

import typer

from cad_node.cli.context import run, settings

app = typer.Typer()

Supervised = Annotated[bool, typer.Option("--supervised", hidden=True, help="Also stop when standard input ends.")]


@app.command(epilog="Example: cad-node --config cad_node.toml serve")
def serve(supervised: Supervised = False) -> None:
    """Run the whole node: listener, a worker per device, sender. They are restarted when they die.

    SIGTERM or Ctrl-C drains it: what a process has begun is finished, nothing new is begun.

    It ends with status 78 if a process can't run as configured, for instance on a GPU that isn't there.
    """
    from cad_node.app.serve import run_all

    raise typer.Exit(run_all(settings(), _stop_event(supervised)))


@app.command(epilog="Example, on another port: CAD_NODE_SCP__PORT=4104 cad-node scp")
def scp(supervised: Supervised = False) -> None:
    """Run only the DICOM listener: it receives studies and queues a job for each model that wants one."""
    _leave_unneeded_out()
    from cad_node.app.scp import run_scp

    run_scp(settings(), _stop_event(supervised))


@app.command(epilog="Example, on the second GPU: cad-node --config cad_node.toml worker --device cuda:1")
def worker(
    device: Annotated[str, typer.Option(help="cpu, cuda:0, tensorrt:0 or openvino; it is an error if that device can't be had.")] = "cpu",
    supervised: Supervised = False,
) -> None:
    """Run only a worker: it takes queued jobs, one after another, and runs their models on DEVICE."""
    from cad_node.app.worker import run_worker

    run_worker(settings(), device, _stop_event(supervised))


@app.command(epilog="Example: cad-node --config cad_node.toml sender")
def sender(supervised: Supervised = False) -> None:
    """Run only the sender: it pushes finished results to every destination, each at its own pace."""
    from cad_node.app.sender import run_sender

    run_sender(settings(), _stop_event(supervised))


def _leave_unneeded_out() -> None:
    """Keep the listener small: it decodes no pixel and downloads nothing, and pydicom imports all it finds for that, 45 MB."""
    for name in ("numpy", "gdcm", "PIL", "pylibjpeg", "jpeg_ls", "requests"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # None: can't be imported


def _stop_event(until_stdin_ends: bool = False) -> threading.Event:
    """An event that SIGTERM and SIGINT set; for a supervised process the end of its supervisor as well."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if until_stdin_ends:
        threading.Thread(target=_await_end_of_stdin, args=[stop], daemon=True).start()
    return stop


def _await_end_of_stdin(stop: threading.Event) -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing is ever written; not through sys.stdin, whose lock would outlive the process' end
    stop.set()


if __name__ == "__main__":
    run(app)
