"""The demonstration's end: tables for a person, JSON for a program."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import dist
from pathlib import Path
from typing import Any

from pydicom import dcmread
from rich.console import Console
from rich.table import Table

from cad_node.demo.reread import FoundInObject
from cad_node.demo.run import Demonstration
from cad_node.phantom import PhantomNodule

SHOWN_SKIPPED = 5


def print_report(
    console: Console, shown: Demonstration, truth: Sequence[PhantomNodule], skipped: Sequence[tuple[Path, str]], out: Path
) -> None:
    """Findings (against the truth where it is known), jobs, where the objects lie, and what went wrong."""
    for path, why in [*skipped[:SHOWN_SKIPPED], *shown.not_received]:
        console.print(f"[yellow]not analysed[/] {path}: {why}", soft_wrap=True)
    if len(skipped) > SHOWN_SKIPPED:
        console.print(f"[yellow]not analysed[/] and {len(skipped) - SHOWN_SKIPPED} more files")
    console.print(_findings(shown.findings, truth))
    console.print(_jobs(shown))
    console.print(_objects(shown.objects, out))
    console.print("  ".join(f"{name} {seconds:.1f} s" for name, seconds in shown.timings_s.items()))
    for problem in shown.problems:
        console.print(f"[bold red]problem:[/] {problem}", soft_wrap=True)
    if shown.succeeded:
        console.print(f"[bold green]Everything was delivered and read back.[/] Open {out} in any DICOM viewer beside the study.")


def write_json(file: Path, shown: Demonstration) -> None:
    """{"jobs", "findings", "objects", "timings_s", "problems"}."""
    file.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "jobs": [asdict(job.summary) for job in shown.jobs],
        "findings": [asdict(finding) for finding in shown.findings],
        "objects": [_object(path) for path in shown.objects],
        "timings_s": {name: round(seconds, 3) for name, seconds in shown.timings_s.items()},
        "not_received": [{"path": str(path), "reason": reason} for path, reason in shown.not_received],
        "problems": list(shown.problems),
    }
    file.write_text(json.dumps(document, indent=2, default=str), encoding="utf-8")


def _findings(findings: Sequence[FoundInObject], truth: Sequence[PhantomNodule]) -> Table:
    table = Table(title=f"{len(findings)} findings", title_justify="left", header_style="bold")
    for column in ("finding", "centre LPS mm", "diameter mm", "volume mm3", "score"):
        table.add_column(column)
    if truth:
        table.add_column("truth")
    for finding in findings:
        row = _cells(finding)
        table.add_row(*row, _nearest(finding, truth)) if truth else table.add_row(*row)
    for nodule in truth:
        if not any(_same(finding, nodule) for finding in findings):
            table.add_row("[red]missed[/]", _point(nodule.centre_lps_mm), f"{nodule.diameter_mm:.1f}", f"{nodule.volume_mm3:.0f}", "", "")
    return table


def _cells(finding: FoundInObject) -> tuple[str, ...]:
    return (
        finding.label,
        _point(finding.centre_lps_mm),
        f"{finding.diameter_mm:.1f}",
        f"{finding.volume_mm3:.0f}",
        f"{finding.score:.2f}",
    )


def _nearest(finding: FoundInObject, truth: Sequence[PhantomNodule]) -> str:
    nodule = next((nodule for nodule in truth if _same(finding, nodule)), None)
    if nodule is None:
        return "[yellow]false positive[/]"
    away = dist(finding.centre_lps_mm, nodule.centre_lps_mm)
    return f"[green]{nodule.diameter_mm:.1f} mm, {nodule.volume_mm3:.0f} mm3[/], {away:.1f} mm away"


def _same(finding: FoundInObject, nodule: PhantomNodule) -> bool:
    return dist(finding.centre_lps_mm, nodule.centre_lps_mm) <= max(nodule.diameter_mm, 5.0) / 2


def _point(point: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in point)


def _jobs(shown: Demonstration) -> Table:
    table = Table(title="Jobs", title_justify="left", header_style="bold")
    for column in ("job", "model", "state", "results", "deliveries", "reason"):
        table.add_column(column, overflow="fold")
    for job in shown.jobs:
        row = job.summary
        sent = ", ".join(f"{delivery.destination} {delivery.state}" for delivery in job.deliveries)
        table.add_row(str(row.id), f"{row.model_name} {row.model_version}", row.state, str(len(job.results)), sent, row.reason)
    return table


def _objects(paths: Sequence[Path], out: Path) -> Table:
    table = Table(title=f"Received by the archive, in {out}", title_justify="left", header_style="bold")
    table.add_column("object")
    table.add_column("kB", justify="right")
    table.add_column("file", overflow="fold")
    for path in paths:
        table.add_row(_object(path)["description"], f"{path.stat().st_size / 1000:.0f}", path.name)
    return table


def _object(path: Path) -> dict[str, Any]:
    ds = dcmread(path, stop_before_pixels=True)
    return {
        "path": str(path),
        "modality": ds.Modality,
        "description": ds.get("SeriesDescription", ds.Modality),
        "study_instance_uid": ds.StudyInstanceUID,
        "series_instance_uid": ds.SeriesInstanceUID,
        "sop_class_uid": ds.SOPClassUID,
        "sop_instance_uid": ds.SOPInstanceUID,
    }
