"""Where the time of one study goes, from the first C-STORE to the last delivery; medians over several runs of a whole node.

python benchmarks/study.py [--study DIR] [--runs N] [--json FILE]
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from cad_node.deliver.gather import Sendable, gather
from cad_node.demo.run import Demonstration, demonstrate
from cad_node.phantom import phantom_study
from cad_node.shipped import shipped

STAGES = {
    "receive": "C-STORE of every instance, durable and indexed",
    "wait": "until the study counts as complete and a worker has claimed the job",
    "load": "files -> volume in HU",
    "prepare": "lungs, candidates, cuts, outlines, measurement",
    "infer": "the networks alone",
    "build": "Segmentation and report, written durably",
    "deliver": "C-STORE to the archive",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="folder of DICOM files; default: the chest CT phantom")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="cad-node-bench-") as folder:
        study = arguments.study or _phantom(Path(folder) / "study")
        files = gather(study).files
        runs = [_run(files, Path(folder) / str(number)) for number in track(range(arguments.runs), "running whole nodes", console=console)]
    medians = {stage: statistics.median(run[stage] for run in runs) for stage in STAGES}
    _print(console, medians, len(files))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(
            json.dumps({"instances": len(files), "cores": os.cpu_count(), "medians_s": medians, "runs_s": runs}, indent=2)
        )


def _phantom(folder: Path) -> Path:
    folder.mkdir()
    for number, ds in enumerate(phantom_study().datasets):
        ds.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)
    return folder


def _run(files: tuple[Sendable, ...], folder: Path) -> dict[str, float]:
    folder.mkdir()
    shown = demonstrate(files, folder / "archive", folder, shipped("models"), _silent)
    if not shown.succeeded:
        raise SystemExit(f"the study wasn't analysed: {shown.problems or [job.summary.reason for job in shown.jobs]}")
    return {**shown.timings_s, "wait": _waited_s(shown)}


def _waited_s(shown: Demonstration) -> float:
    """What settling took beyond the worker's own stages."""
    return max(0.0, shown.timings_s["settle"] - sum(shown.timings_s[stage] for stage in ("load", "prepare", "infer", "build")))


@contextmanager
def _silent(_title: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda _count: None


def _print(console: Console, medians: dict[str, float], instances: int) -> None:
    total = sum(medians.values())
    working = total - medians["wait"]
    table = Table(
        title=f"One study of {instances} instances on {os.cpu_count()} cores: {total:.1f} s", title_justify="left", header_style="bold"
    )
    for column in ("stage", "seconds", "share", "what"):
        table.add_column(column, justify="right" if column in ("seconds", "share") else "left")
    for stage, what in STAGES.items():
        table.add_row(stage, f"{medians[stage]:.2f}", f"{100 * medians[stage] / total:.0f} %", what)
    console.print(table)
    console.print(f"not inference: {100 * (1 - medians['infer'] / working):.0f} % of the {working:.1f} s that something was done")


if __name__ == "__main__":
    main()
