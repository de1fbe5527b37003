"""Other people's software reads our objects: dciodvfy, dcmqi, DCMTK."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from cad_node.findings import Findings
from cad_node.output.file import encode
from cad_node.output.seg import build_seg
from cad_node.output.sr import build_sr
from tests.interop.tools import dciodvfy_errors, run, tool
from tests.output import case

CASES = {
    "three nodules": (case.findings, 3),
    "no nodule": (case.findings, 0),
    "three nodules and both lungs, measured": (case.measured_findings, 3),
    "no nodule, but both lungs measured": (case.measured_findings, 0),
}


@pytest.fixture(scope="module")
def volume():
    return case.volume()


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES.keys())
def findings(request, volume):
    make, nodules = request.param
    return make(volume, nodules)


@pytest.fixture
def seg(volume, findings, tmp_path):
    return written(*build_seg(volume, findings, case.run()), tmp_path / "seg.dcm")


@pytest.fixture
def sr(volume, findings, tmp_path):
    return written(*build_sr(volume, findings, case.run()), tmp_path / "sr.dcm")


def written(ds: Dataset, path: Path) -> Path:
    path.write_bytes(encode(ds))
    return path


def test_dciodvfy_finds_no_error(seg, sr):
    errors = dciodvfy_errors(seg, sr)

    assert errors == []


def test_segimage2itkimage_reads_every_segment_where_it_was(seg, volume, findings, tmp_path):
    program = tool("segimage2itkimage", "Python package dcmqi")

    done = run(program, "--inputDICOM", seg, "--outputDirectory", tmp_path, "--outputType", "nrrd", "--prefix", "s")

    assert done.returncode == 0, done.stderr
    regions = [finding.region for finding in findings.findings] + [organ.region for organ in findings.organs]
    for number, region in enumerate(regions, 1):
        assert voxels_lps(tmp_path / f"s-{number}.nrrd") == region_lps(volume, region)


def test_segimage2itkimage_reads_labels_and_colours(seg, findings, tmp_path):
    program = tool("segimage2itkimage", "Python package dcmqi")

    run(program, "--inputDICOM", seg, "--outputDirectory", tmp_path, "--outputType", "nrrd", "--prefix", "s")

    segments = [segment for group in json.loads((tmp_path / "s-meta.json").read_text())["segmentAttributes"] for segment in group]
    assert [segment["SegmentLabel"] for segment in segments] == [item.label for item in (*findings.findings, *findings.organs)]
    if findings.findings:
        assert segments[0]["recommendedDisplayRGBValue"] == [230, 159, 0]


def test_tid1500reader_reads_the_measurements(sr, findings, tmp_path):
    program = tool("tid1500reader", "Python package dcmqi")

    done = run(program, "--inputDICOM", sr, "--outputMetadata", tmp_path / "sr.json")

    assert done.returncode == 0, done.stderr
    groups = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    shown = [*findings.findings, *(organ for organ in findings.organs if organ.measurements)]
    assert [group["TrackingIdentifier"] for group in groups] == [item.label for item in shown for _ in range(2)]
    assert [group["ReferencedSegment"] for group in groups[::2]] == list(range(1, len(shown) + 1))
    assert all(len(item.measurements) <= len(group["measurementItems"]) for item, group in zip(shown, groups[::2], strict=True))


@pytest.mark.parametrize("program", ["dsrdump", "dsr2html"])
def test_dcmtk_reads_the_report_and_its_relationships(program, sr):
    done = run(tool(program, "Debian package dcmtk"), sr)

    assert (done.returncode, done.stderr) == (0, "")
    assert "detected by th" in done.stdout


def test_dciodvfy_finds_no_error_in_a_report_of_nothing_at_all(volume, tmp_path):
    path = written(*build_sr(volume, Findings((), ()), case.run()), tmp_path / "sr.dcm")

    assert dciodvfy_errors(path) == []


def voxels_lps(path: Path) -> set[tuple[float, ...]]:
    """LPS of the voxels above zero in an NRRD file that dcmqi wrote."""
    header, data = path.read_bytes().split(b"\n\n", 1)
    fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line)
    assert (fields["space"], fields["encoding"]) == ("left-posterior-superior", "gzip")
    directions = np.array([[float(x) for x in axis.strip("()").split(",")] for axis in fields["space directions"].split()])
    origin = np.array([float(x) for x in fields["space origin"].strip("()").split(",")])
    sizes = [int(size) for size in fields["sizes"].split()]
    dtype = {"short": np.int16, "unsigned char": np.uint8, "unsigned short": np.uint16}[fields["type"]]
    voxels = np.frombuffer(gzip.decompress(data), dtype).reshape(sizes, order="F")
    return {tuple(point) for point in (np.argwhere(voxels) @ directions + origin).round(3) + 0.0}


def region_lps(volume, region) -> set[tuple[float, ...]]:
    index = np.argwhere(case.full_mask(region, volume.voxels.shape))
    return {tuple(point) for point in (index @ volume.affine[:3, :3].T + volume.affine[:3, 3]).round(3) + 0.0}
