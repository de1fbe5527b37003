"""What the objects of one run cost beyond inference: seconds of each, and the peak memory of a fresh process that makes them all.

python benchmarks/outputs.py [--found FILE] [--slices N] [--json FILE]

--found takes (volume, findings) as `pickle` wrote them (only your own: what it holds is run); else the phantom is analysed.
--slices repeats the series and its organs until it has so many.
"""

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from rich.console import Console
from rich.table import Table

from cad_node.app.worker import BUILDERS, TASKS
from cad_node.findings import Findings, Organ, Region
from cad_node.imaging.volume import Volume
from cad_node.inference.model import load_model
from cad_node.manifest import ModelFolder, read_models
from cad_node.objects import Profile
from cad_node.output.builder import Run
from cad_node.output.file import encode
from cad_node.phantom import phantom_study
from cad_node.pipeline import build, find, prepare
from cad_node.shipped import shipped
from cad_node.study import Instance, Series, Study

MODEL = "lung_nodule_ct"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--found", type=Path)
    parser.add_argument("--slices", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--measured", action="store_true", help=argparse.SUPPRESS)  # the fresh process
    arguments = parser.parse_args()
    if arguments.measured:
        print(json.dumps(measure(arguments.found, arguments.slices)))
        return
    with tempfile.TemporaryDirectory(prefix="cad-node-bench-") as folder:
        found = arguments.found or _analyse_phantom(Path(folder))
        command = [sys.executable, __file__, "--measured", "--found", found, "--slices", str(arguments.slices)]
        figures = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    _print(figures)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def measure(found: Path, slices: int) -> dict[str, Any]:
    """Builds and encodes everything once, one object after the other."""
    volume, findings = pickle.loads(found.read_bytes())  # noqa: S301 - the user's own
    if slices:
        volume, findings = _lengthened(volume, findings, slices)
    run = Run(uuid.UUID(int=1), _model().manifest, datetime(2026, 1, 1, tzinfo=UTC), "2.25.1", "0")
    before = _peak_mb()
    seconds: dict[str, float] = {}
    sizes: dict[str, float] = {}
    for name, builder in BUILDERS.items():
        started = time.perf_counter()
        objects = build(volume, findings, run, {name: builder}, [Profile((name,))])
        sizes[name] = sum(len(encode(one.dataset)) for one in objects) / 1e6
        seconds[name] = time.perf_counter() - started
    return {
        "slices": len(volume.sources),
        "findings": len(findings.findings),
        "cores": os.cpu_count(),
        "seconds": seconds,
        "size_mb": sizes,
        "volume_mb": volume.voxels.nbytes / 1e6,
        "before_mb": before,
        "peak_mb": _peak_mb(),
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _model() -> ModelFolder:
    return next(folder for folder in read_models(shipped("models"))[0] if folder.manifest.name == MODEL)


def _analyse_phantom(folder: Path) -> Path:
    """The file with what was found; in a process of its own, so that the networks count for nobody."""
    code = f"from benchmarks.outputs import analyse_phantom; from pathlib import Path; analyse_phantom(Path({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])})
    return folder / "found.pickle"


def analyse_phantom(folder: Path) -> None:
    model = load_model(_model(), "cpu")
    instances = []
    for number, ds in enumerate(phantom_study().datasets):
        path = folder / f"{number:04d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        instances.append(Instance(str(ds.SOPInstanceUID), str(ds.SOPClassUID), str(ds.file_meta.TransferSyntaxUID), path))
    series = Series(str(ds.SeriesInstanceUID), "CT", tuple(instances))
    volume = prepare(Study(str(ds.StudyInstanceUID), 1, (series,)), series.series_instance_uid, model.manifest)
    findings = find(volume, model.manifest, model.networks, TASKS)
    (folder / "found.pickle").write_bytes(pickle.dumps((volume, findings)))


def _lengthened(volume: Volume, findings: Findings, slices: int) -> tuple[Volume, Findings]:
    """The series again and again, one copy above the other; findings stay in the first."""
    step = volume.affine[:3, 0]
    sources = []
    for index in range(slices):
        source = Dataset()
        source.update(volume.sources[index % len(volume.sources)])
        del source.ImagePositionPatient, source.SOPInstanceUID  # the elements themselves are shared
        source.ImagePositionPatient = [round(float(x), 4) for x in volume.affine[:3, 3] + index * step]
        source.SOPInstanceUID = f"2.25.{10**9 + index}"
        sources.append(source)
    voxels = np.resize(volume.voxels, (slices, *volume.voxels.shape[1:]))
    organs = tuple(replace(organ, region=_repeated(organ, len(volume.sources), slices)) for organ in findings.organs)
    return Volume(voxels, volume.affine, tuple(sources)), replace(findings, organs=organs)


def _repeated(organ: Organ, length: int, slices: int) -> Region:
    column = np.zeros((length, *organ.region.mask.shape[1:]), np.bool_)
    column[organ.region.slices[0]] = organ.region.mask
    return Region((0, *organ.region.origin[1:]), np.resize(column, (slices, *column.shape[1:])))


def _print(figures: Mapping[str, Any]) -> None:
    total = sum(figures["seconds"].values())
    title = f"{figures['slices']} slices, {figures['findings']} findings: {total:.2f} s on {figures['cores']} cores"
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in ("object", "seconds", "MB"):
        table.add_column(column, justify="left" if column == "object" else "right")
    for name, seconds in figures["seconds"].items():
        table.add_row(name, f"{seconds:.2f}", f"{figures['size_mb'][name]:.1f}")
    Console().print(table)
    Console().print(
        f"peak memory {figures['peak_mb']:.0f} MB, of which {figures['before_mb']:.0f} MB with the volume before the first object"
    )


if __name__ == "__main__":
    main()
