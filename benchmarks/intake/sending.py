"""Instances a second that the sender gives to DCMTK's storescp, beside DCMTK's storescu; interleaved, medians and their ratio.

python -m benchmarks.intake.sending [--runs 7] [--instances 300] [--json FILE]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.intake.instances import ct_instances
from benchmarks.intake.receivers import receivers, running
from benchmarks.intake.senders import send
from cad_node.deliver.cstore import CStore
from cad_node.settings import Destination


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.intake.sending", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--instances", type=int, default=300)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    console = Console()
    storescp = next(receiver for receiver in receivers() if receiver.name == "storescp --fork +B -pdu 131072")
    if storescp.missing:
        raise SystemExit(storescp.missing)
    rates: dict[str, list[float]] = {"storescu": [], "cad_node": []}
    with tempfile.TemporaryDirectory(prefix="cad-node-sending-") as name:
        folder = ct_instances(Path(name) / "ct", arguments.instances)
        files = sorted(folder.iterdir())
        for number in track(range(arguments.runs), "sending", console=console):
            for sender, values in rates.items():
                with running(storescp, Path(name) / f"run{number}-{sender}", "1") as process:
                    seconds = send(folder, process.port, 1, "1") if sender == "storescu" else _ours(files, process.port)
                values.append(len(files) / seconds)
    medians = {sender: statistics.median(values) for sender, values in rates.items()}
    for sender, median in medians.items():
        console.print(f"{sender}: {median:.0f} instances/s, ratio to storescu {median / medians['storescu']:.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"instances_per_s": rates}, indent=2), encoding="utf-8")


def _ours(files: Sequence[Path], port: int) -> float:
    transport = CStore(Destination(ae_title="STORESCP", host="127.0.0.1", port=port), "CAD_NODE", 30)
    start = time.perf_counter()
    failed = [outcome for outcome in transport.send(files) if not outcome.delivered]
    seconds = time.perf_counter() - start
    if failed:
        raise SystemExit(failed[0].reason)
    return seconds


if __name__ == "__main__":
    main()
