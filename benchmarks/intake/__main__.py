"""Instances a second that the listener takes, beside DCMTK and Orthanc, interleaved; medians and ratios.

python -m benchmarks.intake [--runs 7] [--only WORDS] [--json FILE]
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.intake.instances import compressed, ct_instances
from benchmarks.intake.receivers import Receiver, receivers, running
from benchmarks.intake.senders import send

_REMOVED_FOR_S = 6  # ext4 doesn't use the place of a file that was removed in the last five seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intake", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="rounds; in each, every receiver takes its turn")
    parser.add_argument("--instances", type=int, default=300)
    parser.add_argument("--only", default="", help="only the scenes whose name holds these words")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    console = Console()
    compared = [receiver for receiver in receivers() if not receiver.missing]
    for receiver in receivers():
        if receiver.missing:
            console.print(f"left out: {receiver.name}: {receiver.missing}")
    with tempfile.TemporaryDirectory(prefix="cad-node-intake-") as folder:
        figures, peak_mb = _measure(Path(folder), compared, arguments, console)
    for scene, by_receiver in figures.items():
        console.print(_table(scene, by_receiver, peak_mb[scene]))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        machine = {"cores": os.cpu_count(), "platform": platform.platform()}
        written = {"machine": machine, "instances_per_s": figures, "peak_mb": peak_mb}
        arguments.json.write_text(json.dumps(written, indent=2), encoding="utf-8")


def _measure(
    folder: Path, compared: Sequence[Receiver], arguments: argparse.Namespace, console: Console
) -> tuple[Mapping[str, Mapping[str, list[float]]], Mapping[str, Mapping[str, float]]]:
    """By scene and receiver: instances a second in each round, and the most memory in any."""
    runs, count, names = arguments.runs, arguments.instances, [receiver.name for receiver in compared]
    plain = ct_instances(folder / "ct", count)
    sets: dict[str, Path] = {"uncompressed": plain}
    scenes = [
        ("uncompressed", 1, "1"),
        ("uncompressed", 4, "1"),
        ("JPEG 2000", 1, "1"),
        ("JPEG 2000", 4, "1"),
        ("uncompressed", 1, "0"),
    ]
    figures: dict[str, dict[str, list[float]]] = {}
    peak_mb: dict[str, dict[str, float]] = {}
    for content, associations, nodelay in scenes:
        scene = f"{count} {content}, {associations} association{'s' * (associations > 1)}" + ("" if nodelay == "1" else ", Nagle on")
        if arguments.only not in scene:
            continue
        if content not in sets:
            sets[content] = compressed(plain, folder / "j2k")
        figures[scene], peak_mb[scene] = {name: [] for name in names}, dict.fromkeys(names, 0.0)
        scene_folder = folder / f"scene{len(figures)}"
        for number in track(range(runs), f"{scene}", console=console):
            for order, receiver in enumerate(compared):
                with running(receiver, scene_folder / f"run{number}-{order}", nodelay) as process:
                    seconds = send(sets[content], process.port, associations, nodelay)
                    stored = receiver.stored(process.folder)
                    peak_mb[scene][receiver.name] = max(peak_mb[scene][receiver.name], process.peak_mb())
                if stored != count:
                    raise SystemExit(f"{receiver.name} stored {stored} of {count}")
                figures[scene][receiver.name].append(count / seconds)
        shutil.rmtree(scene_folder)
        time.sleep(_REMOVED_FOR_S)
    return figures, peak_mb


def _table(scene: str, by_receiver: Mapping[str, Sequence[float]], peak_mb: Mapping[str, float]) -> Table:
    table = Table(title=scene)
    for heading in ("receiver", "instances/s", "from", "to", "to storescp", "to storescp +B", "to Orthanc", "MB"):
        table.add_column(heading, justify="left" if heading == "receiver" else "right")
    medians = {name: statistics.median(rates) for name, rates in by_receiver.items()}
    peers = [medians.get(name) for name in ("storescp --fork", "storescp --fork +B -pdu 131072", "Orthanc")]
    for name, rates in by_receiver.items():
        ratios = [f"{medians[name] / peer:.2f}" if peer else "" for peer in peers]
        table.add_row(name, f"{medians[name]:.0f}", f"{min(rates):.0f}", f"{max(rates):.0f}", *ratios, f"{peak_mb[name]:.0f}")
    return table


if __name__ == "__main__":
    main()
