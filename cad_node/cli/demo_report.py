"""The demonstration's end: tables for a person, a document for a program."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import dist
from pathlib import Path
from typing import Any

from pydicom import dcmread
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from cad_node.cli.job_tables import reason
from cad_node.cli.tables import WIDE, add, listed, narrow, number, print_left_out, short_uid, table
from cad_node.demo.reread import FoundInObject
from cad_node.demo.run import Demonstration
from cad_node.phantom import PhantomNodule


def print_report(console: Console, shown: Demonstration, truth: Sequence[PhantomNodule], out: Path) -> None:
    """Findings (against the truth where it is known), what became of each study, where the objects lie, and what went wrong."""
    print_left_out(console, "not accepted by the node", shown.not_received)
    if shown.findings or truth:
        console.print(_findings(shown, truth, console.width))
    console.print(_jobs(shown, console.width))
    reasons = [(f"job {job.summary.id}", reason(job.summary)) for job in shown.jobs if job.summary.reason]
    if reasons:
        console.print(listed(reasons, "\nWhy"))
    if shown.objects:
        console.print(_objects(shown.objects, out, console.width))
    console.print("\nSeconds: " + "  ".join(f"{name} {seconds:.1f}" for name, seconds in shown.timings_s.items()), highlight=False)
    for error in shown.unusable_models:
        console.print(Text.assemble(("model unusable: ", "yellow"), error), soft_wrap=True)
    for problem in shown.problems:
        console.print(Text.assemble(("problem: ", "bold red"), problem), soft_wrap=True)
    console.print(_verdict(shown, out), soft_wrap=True)


def as_document(shown: Demonstration, skipped: Sequence[tuple[Path, str]]) -> Mapping[str, Any]:
    """jobs, findings, objects and timings_s; and what was skipped, not received, unusable, or went wrong."""
    return {
        "jobs": [asdict(job.summary) for job in shown.jobs],
        "findings": [asdict(finding) for finding in shown.findings],
        "objects": [_object(path) for path in shown.objects],
        "timings_s": {name: round(seconds, 3) for name, seconds in shown.timings_s.items()},
        "skipped": _left_out(skipped),
        "not_received": _left_out(shown.not_received),
        "unusable_models": list(shown.unusable_models),
        "problems": list(shown.problems),
    }


def _findings(shown: Demonstration, truth: Sequence[PhantomNodule], width: int) -> Table:
    several = len(shown.study_instance_uids) > 1
    columns = [narrow("finding"), number("centre LPS mm"), number("diameter mm"), number("volume mm3"), number("score")]
    columns += [Column("truth" if truth else "study", no_wrap=True)] if truth or several else []
    columns += [Column("in words")] if width >= WIDE else []
    rows = table(f"\n{len(shown.findings)} findings", *columns)
    for finding in shown.findings:
        words = ("; ".join(finding.evaluations.values()),) if width >= WIDE else ()
        study = (finding.study_instance_uid if width >= WIDE else f"…{finding.study_instance_uid[-7:]}",) if several else ()
        add(rows, *_cells(finding), *((_nearest(finding, truth),) if truth else study), *words)
    for nodule in truth:
        if not any(_same(finding, nodule) for finding in shown.findings):
            add(rows, Text("missed", "red"), _point(nodule.centre_lps_mm), f"{nodule.diameter_mm:.1f}", f"{nodule.volume_mm3:.0f}")
    return rows


def _cells(finding: FoundInObject) -> tuple[str, ...]:
    return (
        finding.label,
        _point(finding.centre_lps_mm),
        f"{finding.diameter_mm:.1f}",
        f"{finding.volume_mm3:.0f}",
        f"{finding.score:.2f}",
    )


def _nearest(finding: FoundInObject, truth: Sequence[PhantomNodule]) -> Text:
    nodule = next((nodule for nodule in truth if _same(finding, nodule)), None)
    if nodule is None:
        return Text("false positive", "yellow")
    return Text(f"{nodule.diameter_mm:.0f} mm, {nodule.volume_mm3:.0f} mm3", "green")


def _same(finding: FoundInObject, nodule: PhantomNodule) -> bool:
    return dist(finding.centre_lps_mm, nodule.centre_lps_mm) <= max(nodule.diameter_mm, 5.0) / 2


def _point(point: Sequence[float]) -> str:
    return " ".join(f"{value:.1f}" for value in point)


def _jobs(shown: Demonstration, width: int) -> Table:
    """A row for each job; a study that got none has a row that says so."""
    rows = table(
        "\nWhat became of each study", narrow("study"), number("job"), narrow("model"), narrow("state"), number("results"), "delivered"
    )
    for job in shown.jobs:
        row = job.summary
        delivered = f"{sum(delivery.delivered_at is not None for delivery in job.deliveries)} of {len(job.deliveries)}"
        model = f"{row.model_name} {row.model_version}"
        add(rows, short_uid(row.study_instance_uid, width), row.id, model, row.state, len(job.results), delivered if job.deliveries else "")
    with_job = {job.summary.study_instance_uid for job in shown.jobs}
    for uid in shown.study_instance_uids:
        if uid not in with_job:
            add(rows, short_uid(uid, width), "", "no job", "", "", "")
    return rows


def _objects(paths: Sequence[Path], out: Path, width: int) -> Table:
    rows = table(f"\nReceived by the archive, in {out}", narrow("kind"), number("kB"), Column("file", overflow="fold"))
    for path in paths:
        described = _object(path)
        add(rows, described["modality"] if width < 120 else described["description"], f"{path.stat().st_size / 1000:.0f}", path.name)
    return rows


def _object(path: Path) -> Mapping[str, Any]:
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


def _left_out(files: Sequence[tuple[Path, str]]) -> list[dict[str, str]]:
    return [{"path": str(path), "reason": reason} for path, reason in files]


def _verdict(shown: Demonstration, out: Path) -> Text:
    if shown.succeeded:
        return Text.assemble(
            ("What was made was delivered and read back.", "bold green"), f" Open {out} in a DICOM viewer beside the study."
        )
    why = "see the problems above" if shown.problems else "no model took a study, see above why"
    return Text.assemble(("Not shown: ", "bold red"), why)
