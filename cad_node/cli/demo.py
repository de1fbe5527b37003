"""demo: the main job from end to end on this machine."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cad_node.cli.context import console, settings
from cad_node.deliver.gather import gather
from cad_node.demo.report import print_report, write_json
from cad_node.demo.run import Stage, demonstrate
from cad_node.phantom import PhantomNodule, phantom_study

app = typer.Typer()


@app.command()
def demo(
    study: Annotated[
        Path | None,
        typer.Option(exists=True, help="A folder of your own DICOM files (nested, mixed, junk is skipped). Default: a chest CT phantom."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the archive puts what it receives.")] = Path("build/demo"),
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write jobs, findings, objects and timings to this file.")] = None,
) -> None:
    """Show the main job: send a study to a node on this machine, and look at what comes back to the PACS.

    Starts an archive and a node on loopback in a temporary folder, so that nothing of yours is touched.
    Exits with 1 if anything was not delivered or not read back correctly.
    """
    models_dir = settings().models.dir.resolve()
    _forget_own_settings()
    with tempfile.TemporaryDirectory(prefix="cad-node-demo-") as folder, _progress() as progress:
        work, stage = Path(folder), _stages(progress)
        truth: tuple[PhantomNodule, ...] = ()
        if study is None:
            study = work / "phantom"
            truth = _make_phantom(study, stage)
        with stage("looking for DICOM files", None):
            gathered = gather(study)
        if not gathered.files:
            console.print(f"[red]no DICOM file in {study}[/]: {len(gathered.skipped)} files looked at")
            raise typer.Exit(2)
        shown = demonstrate(gathered.files, out, work, models_dir, stage)
    print_report(console, shown, truth, gathered.skipped, out)
    if json_file:
        write_json(json_file, shown)
        console.print(f"JSON: {json_file}")
    raise typer.Exit(0 if shown.succeeded else 1)


def _make_phantom(folder: Path, stage: Stage) -> tuple[PhantomNodule, ...]:
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


def _forget_own_settings() -> None:
    """A variable outranks a file: the user's own node must not reach into the demonstration."""
    for name in [name for name in os.environ if name.startswith("CAD_NODE_")]:
        del os.environ[name]


def _progress() -> Progress:
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console)


def _stages(progress: Progress) -> Stage:
    @contextmanager
    def stage(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)
        done = progress.tasks[task].completed or 1
        progress.update(task, total=done, completed=done)

    return stage
