"""Reports, key images and rejections before DCMTK's readers and dicom3tools' validator."""

from pathlib import Path

import pytest

from cad_node import pipeline
from cad_node.objects import Profile
from cad_node.output.file import encode
from cad_node.output.kos import build_kos
from cad_node.output.rejection import build_rejection
from cad_node.output.seg import build_seg
from cad_node.output.sr import build_sr
from tests.interop.tools import dciodvfy_errors, run, tool
from tests.output import case

BUILDERS = {"seg": build_seg, "sr": build_sr, "kos": build_kos, "rejection": build_rejection}


@pytest.fixture(scope="module", params=[3, 0], ids=["findings", "no findings"])
def documents(request, tmp_path_factory) -> dict[str, Path]:
    """Those of a run that takes the place of another, by name."""
    volume = case.volume()
    profile = Profile((*BUILDERS, "tree"))
    built = pipeline.build(volume, case.measured_findings(volume, request.param), case.later_run(), BUILDERS, [profile])
    folder, files = tmp_path_factory.mktemp("documents"), {}
    for one in built:
        if one.builder != "seg":
            files[one.builder] = folder / f"{one.builder}.dcm"
            files[one.builder].write_bytes(encode(one.dataset))
    return files


def test_the_validator_finds_no_error(documents):
    assert {"sr", "tree", "rejection"} <= documents.keys()
    assert dciodvfy_errors(*documents.values()) == []


@pytest.mark.parametrize("reader", ["dsr2html", "dsrdump"])
def test_dcmtk_reads_them(documents, reader):
    program = tool(reader, "Debian package dcmtk")

    ended = {name: run(program, file) for name, file in documents.items()}

    assert {name: one.returncode for name, one in ended.items()} == dict.fromkeys(documents, 0)
    assert all(one.stdout and not any(line.startswith(("E:", "F:")) for line in one.stderr.splitlines()) for one in ended.values())
