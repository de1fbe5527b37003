"""Which foreign tools read which of our objects, and what each has to say: docs/interop.json holds it, docs/outputs.md shows it.

`python -m tests.interop.table` runs every pair and writes build/interop.json, and with --keep docs/interop.json.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK
from PIL import Image
from pydicom import dcmread

from cad_node.deliver.cstore import CStore
from cad_node.settings import Destination
from tests.deliver.peers import unused_port
from tests.interop.objects import SOURCE, write_objects
from tests.interop.tools import run, running, tool

ROOT = Path(__file__).resolve().parents[2]
KEPT, BUILT = ROOT / "docs" / "interop.json", ROOT / "build" / "interop.json"
READS = "reads it"

OBJECTS = ("seg", "labelmap", "sr", "tree", "cad_sr", "gsps", "sc", "pmap", "kos", "rejection", "rtstruct", "pdf", "stl", "refusal")
REPORTS = ("sr", "tree", "cad_sr", "kos", "rejection", "refusal")

Files = Mapping[str, Path]
Judge = Callable[[str, Files, Path], list[str]]  # object, files, a folder to write to -> what is wrong


@dataclass(frozen=True, slots=True)
class Tool:
    """gaps: what it calls wrong by an object's name, and isn't: its own limits, in words."""

    judge: Judge
    objects: tuple[str, ...]
    gaps: Mapping[str, str]


def verdict(tool_name: str, name: str, files: Files, folder: Path) -> str:
    """READS, the tool's known gap, or what is wrong."""
    one = TOOLS[tool_name]
    wrong = one.judge(name, files, folder)
    if name in one.gaps:
        return one.gaps[name] if wrong else f"no gap any more: {one.gaps[name]}"
    return "; ".join(wrong) or READS


def _dciodvfy(name: str, files: Files, _folder: Path) -> list[str]:
    said = run(tool("dciodvfy", "Debian package dicom3tools"), files[name]).stderr.splitlines()  # it names the class that it finds
    return [line for line in said if line.startswith("Error")] if said else ["said nothing"]


def _dcmtk(program: str, *options: str) -> Judge:
    """A program that takes a file and tells its errors."""

    def judge(name: str, files: Files, _folder: Path) -> list[str]:
        return _complaints(run(tool(program, "Debian package dcmtk"), *options, files[name]))

    return judge


def _storescp(name: str, files: Files, folder: Path) -> list[str]:
    """A foreign PACS: it takes the object, and its copy has the same attributes."""
    port = unused_port()
    with running([tool("/usr/bin/storescp", "Debian package dcmtk"), str(port), "--output-directory", str(folder), "--promiscuous"], port):
        (outcome,) = CStore(Destination(ae_title="STORESCP", host="127.0.0.1", port=port), "CAD_NODE", 20).send([files[name]])
    if not outcome.delivered:
        return [outcome.reason]
    (copy,) = folder.iterdir()
    return [] if dcmread(copy) == dcmread(files[name]) else ["the copy differs"]


def _dcm2pnm(name: str, files: Files, folder: Path) -> list[str]:
    done = run(tool("dcm2pnm", "Debian package dcmtk"), "--all-frames", "--write-png", files[name], folder / "frame")
    return _complaints(done) or ([] if list(folder.iterdir()) else ["no frame came out"])


def _dcm2pdf(name: str, files: Files, folder: Path) -> list[str]:
    done = run(tool("dcm2pdf", "Debian package dcmtk"), files[name], folder / "out.pdf")
    return _complaints(done) or ([] if (folder / "out.pdf").read_bytes().startswith(b"%PDF-") else ["no PDF came out"])


def _dcmp2pgm(name: str, files: Files, folder: Path) -> list[str]:
    """Rendered with an image of the source, whose size it has; what is drawn, it leaves out."""
    image = sorted(files[SOURCE].iterdir())[3]
    done = run(tool("dcmp2pgm", "Debian package dcmtk"), "--pstate", files[name], image, folder / "out.pgm")
    if wrong := _complaints(done):
        return wrong
    with Image.open(folder / "out.pgm") as rendered:
        return [] if rendered.size == dcmread(image).pixel_array.shape[::-1] else ["nothing was rendered"]


def _segimage2itkimage(name: str, files: Files, folder: Path) -> list[str]:
    return _complaints(_to_nrrd("segimage2itkimage", name, files, folder))


def _paramap2itkimage(name: str, files: Files, folder: Path) -> list[str]:
    return _complaints(_to_nrrd("paramap2itkimage", name, files, folder))


def _to_nrrd(program: str, name: str, files: Files, folder: Path) -> subprocess.CompletedProcess[str]:
    options = ("--outputDirectory", folder, "--outputType", "nrrd", "--prefix", "out")
    return run(tool(program, "Python package dcmqi"), "--inputDICOM", files[name], *options)


def _tid1500reader(name: str, files: Files, folder: Path) -> list[str]:
    out = folder / "out.json"
    done = run(tool("tid1500reader", "Python package dcmqi"), "--inputDICOM", files[name], "--outputMetadata", out)
    return _complaints(done) or ([] if json.loads(out.read_text())["Measurements"] else ["no measurement came out"])


def _simpleitk(name: str, files: Files, folder: Path) -> list[str]:
    """What dcmqi makes of it lies on the source's own grid, or on a part of its slices, as SimpleITK reads both."""
    done = _to_nrrd("paramap2itkimage" if name == "pmap" else "segimage2itkimage", name, files, folder)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(files[SOURCE])))
    source = reader.Execute()
    wrong = _complaints(done)
    for path in sorted(folder.glob("*.nrrd")):
        image = SimpleITK.ReadImage(str(path))
        first = source.TransformPhysicalPointToContinuousIndex(image.GetOrigin())
        same = [np.allclose(getattr(image, what)(), getattr(source, what)(), atol=1e-4) for what in ("GetSpacing", "GetDirection")]
        same += [np.allclose(first, [0, 0, round(first[2])], atol=1e-3), image.GetSize()[:2] == source.GetSize()[:2]]
        wrong += [] if all(same) else [f"{path.name} lies elsewhere"]
    return wrong if list(folder.glob("*.nrrd")) else [*wrong, "no image came out"]


def _complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.startswith(("E:", "F:", "ERROR", "FATAL"))]
    return lines or ([f"ends with {done.returncode}"] if done.returncode else [])


TOOLS: Mapping[str, Tool] = {
    "dciodvfy": Tool(_dciodvfy, OBJECTS, {"labelmap": "doesn't know this SOP class"}),
    "dcmdump": Tool(_dcmtk("dcmdump"), OBJECTS, {}),
    "storescp": Tool(_storescp, OBJECTS, {}),
    "dsrdump": Tool(_dcmtk("dsrdump"), REPORTS, {}),
    "dsr2html": Tool(_dcmtk("dsr2html"), REPORTS, {}),
    "dcmpschk": Tool(_dcmtk("dcmpschk"), ("gsps",), {}),
    "dcmp2pgm": Tool(_dcmp2pgm, ("gsps",), {}),
    "drtdump": Tool(_dcmtk("drtdump"), ("rtstruct",), {}),
    "dcm2pnm": Tool(_dcm2pnm, ("sc",), {}),
    "dcm2pdf": Tool(_dcm2pdf, ("pdf",), {}),
    "segimage2itkimage": Tool(_segimage2itkimage, ("seg", "labelmap"), {}),
    "paramap2itkimage": Tool(_paramap2itkimage, ("pmap",), {}),
    "tid1500reader": Tool(_tid1500reader, ("sr",), {}),
    "SimpleITK": Tool(_simpleitk, ("seg", "labelmap", "pmap"), {}),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (objects := Path(folder) / "objects").mkdir()
        files = write_objects(objects)
        verdicts: dict[str, dict[str, str]] = {}
        for name in OBJECTS:
            for tool_name, one in TOOLS.items():
                if name in one.objects:
                    (own := Path(folder) / f"{name}-{tool_name}").mkdir()
                    verdicts.setdefault(name, {})[tool_name] = verdict(tool_name, name, files, own)
    text = json.dumps(verdicts, indent=2) + "\n"
    BUILT.parent.mkdir(exist_ok=True)
    for path in (BUILT, *([KEPT] if "--keep" in sys.argv else [])):
        path.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
