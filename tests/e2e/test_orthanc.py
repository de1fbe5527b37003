"""Orthanc as the PACS, both ways: it sends a study to the node, and serves what comes back in the same study over DICOMweb."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pydicom import Dataset, dcmread

from cad_node.app.start import open_store
from cad_node.demo.node import DemoNode
from cad_node.phantom import NODULES, phantom_study
from cad_node.shipped import shipped
from tests.e2e.orthanc import AE_TITLE, MISSING, Orthanc
from tests.e2e.ports import free_port
from tests.factory import save_study
from tests.interop.tools import dciodvfy_errors, run, tool

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: Debian's {MISSING}"),
]


class Round(NamedTuple):
    """A study that went from Orthanc to the node and back."""

    orthanc: Orthanc
    node: DemoNode
    study_in_orthanc: str  # Orthanc's own id
    sent: list[Dataset]
    study_instance_uid: str


@pytest.fixture(scope="module")
def there_and_back(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Round]:
    folder = tmp_path_factory.mktemp("orthanc")
    phantom = phantom_study(slices=100, spacing_mm=2.5, pixel_spacing_mm=0.95, size_px=384, nodules=NODULES[:2])
    files = save_study(list(phantom.datasets), folder / "phantom")
    dicom_port = free_port()
    with DemoNode(folder, AE_TITLE, dicom_port, shipped("models")) as node, Orthanc(folder, free_port(), dicom_port, node.port) as orthanc:
        study = orthanc.upload(files)
        orthanc.post("/modalities/cad_node/store", study.encode())
        round_trip = Round(orthanc, node, study, list(phantom.datasets), str(phantom.datasets[0].StudyInstanceUID))
        await_series(round_trip, {"CT", "SEG", "SR"}, node)
        yield round_trip


def test_the_results_are_series_of_the_same_study_over_dicomweb(there_and_back: Round):
    series = series_of(there_and_back)

    assert sorted(found["00080060"]["Value"][0] for found in series) == ["CT", "SEG", "SR"]


@pytest.mark.parametrize("modality", ["SEG", "SR"])
def test_what_orthanc_serves_belongs_to_the_patient_and_passes_the_validator(there_and_back: Round, modality: str, tmp_path: Path):
    ds = retrieve(there_and_back, modality)
    source = there_and_back.sent[0]

    assert (ds.PatientID, ds.PatientName, ds.StudyInstanceUID) == (source.PatientID, source.PatientName, source.StudyInstanceUID)
    file = tmp_path / f"{modality}.dcm"
    ds.save_as(file)
    assert dciodvfy_errors(file) == []


def test_dcmqi_reads_what_orthanc_serves(there_and_back: Round, tmp_path: Path):
    for modality in ("SEG", "SR"):
        retrieve(there_and_back, modality).save_as(tmp_path / f"{modality}.dcm")

    seg = run(
        tool("segimage2itkimage", "Python package dcmqi"),
        "--inputDICOM",
        tmp_path / "SEG.dcm",
        "--outputDirectory",
        tmp_path,
        "--prefix",
        "s",
    )
    sr = run(tool("tid1500reader", "Python package dcmqi"), "--inputDICOM", tmp_path / "SR.dcm", "--outputMetadata", tmp_path / "sr.json")

    assert (seg.returncode, sr.returncode) == (0, 0), seg.stderr + sr.stderr
    assert json.loads((tmp_path / "sr.json").read_text())["Measurements"]


def test_the_segmentation_refers_to_images_that_orthanc_holds(there_and_back: Round):
    segmentation = retrieve(there_and_back, "SEG")
    held = {str(ds.SOPInstanceUID) for ds in there_and_back.sent}

    referenced = {str(item.ReferencedSOPInstanceUID) for item in segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence}

    assert referenced
    assert referenced <= held


def test_results_that_the_pacs_sends_back_start_nothing(there_and_back: Round):
    there_and_back.orthanc.post("/modalities/cad_node/store", there_and_back.study_in_orthanc.encode())  # images and results alike
    time.sleep(4)  # longer than the node waits before a study counts as complete

    store = open_store(there_and_back.node.settings)
    (study,) = store.studies.list()
    jobs = store.jobs.list()
    store.database.dispose()
    assert (study.revision, len(jobs)) == (1, 1)
    assert study.instances == len(there_and_back.sent) + 2


def series_of(round_trip: Round) -> list[dict]:
    return round_trip.orthanc.get(f"/dicom-web/studies/{round_trip.study_instance_uid}/series")


def await_series(round_trip: Round, modalities: set[str], node: DemoNode) -> None:
    deadline = time.monotonic() + 180
    while {found["00080060"]["Value"][0] for found in series_of(round_trip)} != modalities:
        node.require_alive()
        assert time.monotonic() < deadline, f"the results didn't come back; the node's log:\n{node.log.read_text()[-3000:]}"
        time.sleep(0.5)


def retrieve(round_trip: Round, modality: str) -> Dataset:
    """The one instance of this modality, by WADO-RS."""
    (series,) = [found for found in series_of(round_trip) if found["00080060"]["Value"] == [modality]]
    path = f"/dicom-web/studies/{round_trip.study_instance_uid}/series/{series['0020000E']['Value'][0]}"
    body = round_trip.orthanc.get(path, accept='multipart/related; type="application/dicom"; transfer-syntax=*')
    boundary = body[: body.index(b"\r\n")]
    part = body.split(boundary)[1]  # headers, an empty line, the instance, a line's end
    return dcmread(io.BytesIO(part[part.index(b"\r\n\r\n") + 4 : -2]))
