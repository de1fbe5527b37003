"""C-FIND over the node's own results: what is found, what is answered, what is refused."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)

from cad_node.query.find import identifier_of
from cad_node.receive.query import Query
from cad_node.store.database import Database
from cad_node.store.held import Held
from tests.interop.tools import run, tool
from tests.receive.front_door import FrontDoor, opened_front_door
from tests.receive.made_results import make_results

STUDY_ROOT, PATIENT_ROOT = StudyRootQueryRetrieveInformationModelFind, PatientRootQueryRetrieveInformationModelFind


@pytest.fixture(scope="module", params=["fast", "plain"])
def results_to_query(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    """Three studies of two patients, by both ways of serving associations."""
    folder = tmp_path_factory.mktemp("query")

    with opened_front_door(folder, fast=request.param == "fast", services=services) as opened:
        make_results(opened.database, folder / "results", "1.2.1")
        make_results(opened.database, folder / "results", "1.2.2", StudyDate="20260203", StudyDescription="Thorax")
        make_results(opened.database, folder / "results", "1.2.3", PatientID="P-2", PatientName="Müller^Jörg", StudyDate="20260304")
        yield opened


def services(database: Database) -> list[Query]:
    return [Query(Held(database), {}, "CAD_NODE")]


@dataclass(frozen=True, slots=True)
class Answer:
    statuses: list[int]
    matches: list[Dataset]
    comment: str


def ask(node: FrontDoor, level: str, model: str = STUDY_ROOT, **keys: object) -> Answer:
    association = node.associate((model, ExplicitVRLittleEndian))
    answered = list(association.send_c_find(identifier_of(level, keys), model))
    association.release()
    matches = [match for _, match in answered if match]
    return Answer([status.Status for status, _ in answered], matches, answered[-1][0].get("ErrorComment", ""))


def uids(answer: Answer, keyword: str = "StudyInstanceUID") -> list[str]:
    return [ds[keyword].value for ds in answer.matches]


def test_every_study_that_has_results_is_found_and_described(results_to_query: FrontDoor):
    answer = ask(
        *(results_to_query, "STUDY"),
        **dict.fromkeys(("StudyInstanceUID", "PatientName", "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "PatientID"), ""),
        **dict.fromkeys(("ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"), ""),
    )

    assert answer.statuses == [0xFF00, 0xFF00, 0xFF00, 0x0000]
    first = answer.matches[0]
    assert (first.StudyInstanceUID, first.StudyDate, first.StudyTime, first.AccessionNumber) == ("1.2.1", "20260102", "101112", "A1")
    assert (list(first.ModalitiesInStudy), first.NumberOfStudyRelatedSeries, first.NumberOfStudyRelatedInstances) == (["SEG", "SR"], 2, 2)
    assert (first.QueryRetrieveLevel, first.RetrieveAETitle) == ("STUDY", "CAD_NODE")
    assert str(answer.matches[2].PatientName) == "Müller^Jörg"


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"StudyInstanceUID": ["1.2.1", "1.2.3"]}, ["1.2.1", "1.2.3"]),
        ({"StudyDate": "20260101-20260228"}, ["1.2.1", "1.2.2"]),
        ({"StudyDate": "20260203-", "PatientID": "P-1"}, ["1.2.2"]),
        ({"PatientName": "muster*"}, ["1.2.1", "1.2.2"]),
        ({"PatientName": "MÜLLER^J?RG"}, ["1.2.3"]),
        ({"PatientID": "P-?"}, ["1.2.1", "1.2.2", "1.2.3"]),
        ({"StudyDescription": "Thorax"}, ["1.2.2"]),
        ({"ModalitiesInStudy": "SR"}, ["1.2.1", "1.2.2", "1.2.3"]),
        ({"ModalitiesInStudy": "CT"}, []),
    ],
)
def test_studies_are_found_by_their_keys(results_to_query: FrontDoor, keys: dict[str, object], found: list[str]):
    answer = ask(results_to_query, "STUDY", **{"StudyInstanceUID": "", **keys})

    assert uids(answer) == found
    assert answer.statuses[-1] == 0x0000


def test_series_and_instances_are_found_below_what_they_belong_to(results_to_query: FrontDoor):
    series = ask(results_to_query, "SERIES", StudyInstanceUID="1.2.1", SeriesInstanceUID="", Modality="SR", SeriesNumber="")
    instances = ask(
        results_to_query, "IMAGE", StudyInstanceUID="1.2.1", SeriesInstanceUID="1.2.1.7.1", SOPInstanceUID="", InstanceNumber=""
    )

    assert [(ds.SeriesInstanceUID, ds.Modality, ds.SeriesNumber) for ds in series.matches] == [("1.2.1.7.2", "SR", 902)]
    assert [(ds.SOPInstanceUID, ds.InstanceNumber) for ds in instances.matches] == [("1.2.1.8.1", 1)]


def test_patients_are_found_in_the_patient_root_model(results_to_query: FrontDoor):
    everyone = ask(results_to_query, "PATIENT", PATIENT_ROOT, PatientID="", PatientName="", NumberOfPatientRelatedStudies="")
    studies = ask(results_to_query, "STUDY", PATIENT_ROOT, PatientID="P-2", StudyInstanceUID="")

    assert [(ds.PatientID, ds.NumberOfPatientRelatedStudies) for ds in everyone.matches] == [("P-1", 2), ("P-2", 1)]
    assert uids(studies) == ["1.2.3"]


def test_a_key_that_is_not_known_is_left_out_with_a_warning(results_to_query: FrontDoor):
    answer = ask(results_to_query, "STUDY", StudyInstanceUID="1.2.1", PatientAge="", StudyDescription="")

    assert answer.statuses == [0xFF01, 0x0000]
    assert "PatientAge" not in answer.matches[0]
    assert answer.matches[0]["StudyDescription"].is_empty


@pytest.mark.parametrize(
    ("level", "model", "keys", "comment"),
    [
        ("", STUDY_ROOT, {"StudyInstanceUID": "1.2.1"}, "QueryRetrieveLevel"),
        ("PATIENT", STUDY_ROOT, {"PatientID": "P-1"}, "QueryRetrieveLevel"),
        ("SERIES", STUDY_ROOT, {"SeriesInstanceUID": ""}, "StudyInstanceUID"),
        ("SERIES", STUDY_ROOT, {"StudyInstanceUID": ["1.2.1", "1.2.2"], "SeriesInstanceUID": ""}, "StudyInstanceUID"),
        ("IMAGE", STUDY_ROOT, {"StudyInstanceUID": "1.2.1", "SOPInstanceUID": ""}, "SeriesInstanceUID"),
        ("STUDY", PATIENT_ROOT, {"StudyInstanceUID": "1.2.1"}, "PatientID"),
        ("STUDY", PATIENT_ROOT, {"StudyInstanceUID": "1.2.1", "PatientID": "P*"}, "PatientID"),
    ],
)
def test_an_identifier_that_does_not_fit_the_model_is_refused(results_to_query: FrontDoor, level, model, keys, comment):
    answer = ask(results_to_query, level, model, **keys)

    assert answer.statuses == [0xA900]
    assert comment in answer.comment


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
def test_a_query_is_cancelled(tmp_path: Path, fast: bool):
    with opened_front_door(tmp_path / "node", fast=fast, services=services) as opened:
        for number in range(1, 6):
            make_results(opened.database, tmp_path / "results", f"1.2.{number}")
        waits = tmp_path / "results" / "1.2.2.8.1.dcm"
        waits.unlink()
        os.mkfifo(waits)  # the answer doesn't go on before someone writes to it
        association = opened.associate((STUDY_ROOT, ExplicitVRLittleEndian))
        responses = association.send_c_find(identifier_of("STUDY", {"StudyInstanceUID": ""}), STUDY_ROOT, msg_id=5)

        first, _ = next(responses)
        association.send_c_cancel(5, query_model=STUDY_ROOT)
        time.sleep(0.3)  # it goes out in a thread of its own
        waits.write_bytes(b"")
        statuses = [status.Status for status, _ in responses]
        association.release()

    assert first.Status == 0xFF00
    assert statuses[-1] == 0xFE00
    assert len(statuses) < 5


def test_a_result_whose_file_is_gone_costs_only_its_own_answer(tmp_path: Path):
    with opened_front_door(tmp_path / "node", services=services) as opened:
        make_results(opened.database, tmp_path / "results", "1.2.1")
        make_results(opened.database, tmp_path / "results", "1.2.2")
        for file in (tmp_path / "results").glob("1.2.1.*"):
            file.unlink()

        answer = ask(opened, "STUDY", StudyInstanceUID="")

    assert (uids(answer), answer.statuses[-1]) == (["1.2.2"], 0x0000)


def test_findscu_of_dcmtk_finds_by_study_and_by_patient(results_to_query: FrontDoor):
    node = ["127.0.0.1", str(results_to_query.port), "-aec", "CAD_NODE"]

    by_study = run(
        tool("findscu", "DCMTK"), "-S", *node, "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID", "-k", "PatientName=Muster*"
    )
    by_patient = run(tool("findscu", "DCMTK"), "-P", *node, "-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID=P-2", "-k", "PatientName")

    assert (by_study.returncode, by_patient.returncode) == (0, 0)
    assert by_study.stdout.count("[1.2.1]") + by_study.stderr.count("[1.2.1]") == 1
    assert "[P-2" in by_patient.stdout + by_patient.stderr
