"""check-air: the rules of IHE AI Results on anyone's objects."""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from cad_node.cli.context import EX_FAILED, EX_USAGE, AsJson, console, print_json
from cad_node.cli.tables import add, narrow, print_left_out, table

if TYPE_CHECKING:
    from cad_node.checks.air import Judgement
    from cad_node.checks.air_subject import Subject

app = typer.Typer()

_STYLES = {"ok": "green", "violated": "red", "can't tell": "yellow", "not applicable": "dim"}


@app.command(
    "check-air",
    epilog="Examples: cad-node check-air report.dcm segmentation.dcm\n\n"
    "a study with its images: cad-node check-air study/\n\n"
    "what is violated, for a script: cad-node check-air --json study/ | jq '.[].rules[] | select(.verdict == \"violated\")'",
)
def check_air(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, or folders of them.", show_default=False)],
    every: Annotated[bool, typer.Option("--all", help="Show also what is kept and what doesn't apply.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check results against IHE AI Results (AIR, Rev. 1.3, trial implementation), whoever made them; status 1 if a rule is violated.

    AIR says how an algorithm's findings are encoded so that any viewer can show them, and follow them from object to object.
    Give the objects of a study together: some rules compare them, such as the Tracking UID of a finding in report and Segmentation.
    Of each rule the verdict is ok, violated, not applicable to this kind of object, or can't tell from what was given.
    """
    from cad_node.checks.air import judge
    from cad_node.checks.air_findings import RULES

    subjects, left_out = _read(paths)
    judged = judge(subjects, RULES)
    if as_json:
        print_json([_row(subject, judgements) for subject, judgements in zip(subjects, judged, strict=True)])
    else:
        for subject, judgements in zip(subjects, judged, strict=True):
            _print(subject, judgements, every)
        print_left_out(console, "left out", left_out)
    if not subjects:
        typer.echo("no DICOM file among them", err=True)
        raise typer.Exit(EX_USAGE)
    if any(one.verdict == "violated" for judgements in judged for one in judgements):
        raise typer.Exit(EX_FAILED)


def _read(paths: Sequence[Path]) -> "tuple[list[Subject], list[tuple[Path, str]]]":
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    from cad_node.checks.air_subject import Subject

    subjects, left_out = [], []
    for path in _files(paths):
        try:
            with warnings.catch_warnings(action="ignore"):  # pydicom's quote the values they complain of
                subjects.append(Subject(str(path), dcmread(path, stop_before_pixels=True)))
        except InvalidDicomError:
            left_out.append((path, "no DICOM file"))
    return subjects, left_out


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file())
        else:
            yield path


def _print(subject: "Subject", judgements: "Sequence[Judgement]", every: bool) -> None:
    """The rules that need a look; of the others how many there are."""
    counts = Counter(str(one.verdict) for one in judgements)
    summary = ", ".join(f"{count} {verdict}" for verdict in _STYLES if (count := counts[verdict]))
    shown = table(f"{subject.file}: {subject.kind}, {summary}", narrow("rule"), narrow("section"), narrow("verdict"), "detail")
    for one in judgements:
        if every or one.verdict in ("violated", "can't tell"):
            add(shown, one.rule.name, one.rule.section, Text(one.verdict, _STYLES[one.verdict]), one.detail or one.rule.demands)
    if shown.row_count:
        console.print(shown)
    else:
        console.print(Text.assemble((subject.file, "bold"), f": {subject.kind}, {summary}"))


def _row(subject: "Subject", judgements: "Sequence[Judgement]") -> dict[str, Any]:
    return {
        "file": subject.file,
        "sop_class_uid": str(subject.ds.get("SOPClassUID", "")),
        "sop_instance_uid": subject.sop_instance_uid,
        "kind": subject.kind,
        "rules": [
            {
                "rule": one.rule.name,
                "section": one.rule.section,
                "demands": one.rule.demands,
                "verdict": one.verdict,
                "detail": one.detail,
            }
            for one in judgements
        ],
    }
