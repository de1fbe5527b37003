"""demo: the main job from end to end on this machine."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cad_node.cli.context import EX_FAILED, EX_USAGE, as_json, console
from cad_node.cli.tables import print_left_out
from cad_node.log import configure_logging
from cad_node.shipped import shipped

if TYPE_CHECKING:
    from cad_node.demo.run import Stage
    from cad_node.phantom import PhantomNodule

app = typer.Typer()


@app.command(
    epilog="Examples: cad-node demo\n\ncad-node demo --study ~/chest_ct --out results --json results/demo.json\n\n"
    "Exit status: 0 all that was made came back right; 1 no model took a study, or something didn't come back right; 2 nothing to send."
)
def demo(
    study: Annotated[
        Path | None,
        typer.Option(exists=True, help="Your own DICOM files: any folder, nested, mixed, junk is skipped. Default: a chest CT phantom."),
    ] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder where the archive puts what it receives.")] = Path("build/demo"),
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="Also write jobs, findings, objects and timings to this file.")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of model folders. Default: those that ship.")
    ] = None,
) -> None:
    """Show the main job: send a study to a node on this machine, and look at what comes back to the PACS.

    Starts an archive and a node of its own on this machine; your own node and settings have no part in it.

    The temporary folder (TMPDIR) needs room for the study and 512 MB more.
    """
    from cad_node.cli.demo_report import as_document, print_report
    from cad_node.deliver.gather import gather
    from cad_node.demo.run import demonstrate

    configure_logging("warning")
    with tempfile.TemporaryDirectory(prefix="cad-node-demo-") as folder, _progress() as progress:
        work, stage = Path(folder), _stages(progress)
        truth: tuple[PhantomNodule, ...] = ()
        if study is None:
            study = work / "phantom"
            truth = _make_phantom(study, stage)
        with stage("looking for DICOM files", None):
            gathered = gather(study)
        if gathered.files:
            shown = demonstrate(gathered.files, out, work, (models or shipped("models")).resolve(), stage)
    print_left_out(console, "skipped", gathered.skipped)
    if not gathered.files:
        typer.echo(f"error: no DICOM file in {study}; {len(gathered.skipped)} files looked at", err=True)
        raise typer.Exit(EX_USAGE)
    print_report(console, shown, truth, out)
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(as_json(as_document(shown, gathered.skipped)), encoding="utf-8")
        console.print(f"JSON: {json_file}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(0 if shown.succeeded else EX_FAILED)


def _make_phantom(folder: Path, stage: "Stage") -> "tuple[PhantomNodule, ...]":
    from cad_node.phantom import phantom_study

    with stage("making a chest CT phantom", 100) as advance:
        percent = 0

        def on_progress(done: int, total: int) -> None:
            nonlocal percent
            advance(100 * done // total - percent)
            percent = 100 * done // total

        phantom = phantom_study(on_progress=on_progress)
    folder.mkdir()
    for number, ds in enumerate(phantom.datasets, 1):
        ds.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)
    return phantom.truth


def _progress() -> Progress:
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console)


def _stages(progress: Progress) -> "Stage":
    @contextmanager
    def stage(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)
        done = progress.tasks[task].completed or 1
        progress.update(task, total=done, completed=done)

    return stage
