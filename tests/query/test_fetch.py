"""Studies fetched from a real Orthanc: by C-MOVE to the node's listener, and by C-GET."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless, generate_uid

from cad_node.app.fetch import Fetched, Wanted, fetch
from cad_node.app.start import Store, look_into_store
from cad_node.errors import PacsUnreachable
from cad_node.query.find import find
from cad_node.query.holdings import NotThere
from cad_node.settings import Database, Node, Scp, Settings, Source
from tests.deliver.peers import unused_port
from tests.e2e.orthanc import AE_TITLE, MISSING, Orthanc
from tests.e2e.ports import free_port
from tests.factory import altered, ct_study, save_study
from tests.query.archive import peer_at
from tests.receive.front_door import FrontDoor, opened_front_door

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: Debian's {MISSING}")
both_ways = pytest.mark.parametrize("retrieve", ["move", "get"])


@dataclass(frozen=True, slots=True)
class Hospital:
    orthanc: Orthanc
    node: FrontDoor
    store: Store
    folder: Path

    def upload(self, datasets: Sequence[Dataset]) -> str:
        """Put a study into the PACS; its Study Instance UID."""
        self.orthanc.upload(save_study(list(datasets), self.folder / generate_uid()))
        return str(datasets[0].StudyInstanceUID)

    def fetch(self, wanted: Wanted, retrieve: str, stop: threading.Event | None = None, **source: object) -> list[Fetched]:
        url = f"sqlite:///{self.node.folder / 'node.db'}"
        settings = Settings(node=Node(data_dir=self.node.folder), database=Database(url=url), scp=Scp(min_free_mb=0))
        there = {"ae_title": AE_TITLE, "host": "127.0.0.1", "port": self.orthanc.dicom_port, **source}
        pacs = Source.model_validate({**there, "retrieve": retrieve, "response_timeout_s": 20})
        return list(fetch(pacs, settings, self.store, wanted, progress=lambda *_: None, stop=stop or threading.Event()))

    def received(self, study_instance_uid: str) -> set[str]:
        return {file.stem for file in self.node.files(study_instance_uid)}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("hospital")
    with opened_front_door(folder / "node") as node, Orthanc(folder, free_port(), free_port(), node.port) as orthanc:
        url = f"sqlite:///{node.folder / 'node.db'}"
        store = look_into_store(Settings(node=Node(data_dir=node.folder), database=Database(url=url)))
        yield Hospital(orthanc, node, store, folder)
        store.database.dispose()


def uids(datasets: Sequence[Dataset]) -> set[str]:
    return {str(ds.SOPInstanceUID) for ds in datasets}


def later_series(datasets: Sequence[Dataset]) -> list[Dataset]:
    """Another series of the same study."""
    series = generate_uid()
    return [altered(ds, SeriesInstanceUID=series, SOPInstanceUID=generate_uid()) for ds in datasets]


def test_the_pacs_counts_the_instances_of_a_study(hospital: Hospital):
    study = ct_study(slices=3)
    uid = hospital.upload(study)
    peer = peer_at(hospital.orthanc.dicom_port, AE_TITLE)

    (found,) = find(peer, "STUDY", {"StudyInstanceUID": uid, "NumberOfStudyRelatedInstances": ""})

    assert found.NumberOfStudyRelatedInstances == 3


@both_ways
def test_a_study_comes_whole_and_as_it_was(hospital: Hospital, retrieve: str):
    study = ct_study(slices=5)
    uid = hospital.upload(study)

    (fetched,) = hospital.fetch(Wanted(uid), retrieve)

    assert (fetched.there, fetched.asked, fetched.arrived, fetched.trouble, fetched.is_complete) == (5, 5, 5, "", True)
    files = {file.stem: file for file in hospital.node.files(uid)}
    assert all(dcmread(files[ds.SOPInstanceUID]) == ds for ds in study)
    assert dcmread(files[study[0].SOPInstanceUID]).file_meta.SourceApplicationEntityTitle == AE_TITLE


def test_what_came_by_c_get_counts_as_sent_by_the_pacs_and_its_association_as_ended(hospital: Hospital):
    uid = hospital.upload(ct_study(slices=1))

    hospital.fetch(Wanted(uid), "get")

    (series,) = [one for study in hospital.node.studies.receiving() if study.study_instance_uid == uid for one in study.series]
    assert series.calling_ae_title == AE_TITLE
    assert series.association_ended_at


@both_ways
def test_of_a_study_only_the_series_that_is_named_comes(hospital: Hospital, retrieve: str):
    study = ct_study(slices=2)
    wanted = later_series(study)
    uid = hospital.upload([*study, *wanted])

    (fetched,) = hospital.fetch(Wanted(uid, (wanted[0].SeriesInstanceUID,)), retrieve)

    assert (fetched.asked, fetched.is_complete) == (2, True)
    assert hospital.received(uid) == uids(wanted)


@both_ways
def test_only_what_is_missing_is_asked_for(hospital: Hospital, retrieve: str):
    study = ct_study(slices=6)
    whole_series = later_series(study[:2])
    uid = hospital.upload([*study, *whole_series])
    hospital.node.send(*study[:4])

    (fetched,) = hospital.fetch(Wanted(uid, only_missing=True), retrieve)
    (again,) = hospital.fetch(Wanted(uid, only_missing=True), retrieve)

    assert (fetched.there, fetched.asked, fetched.arrived) == (8, 4, 4)
    assert hospital.received(uid) == uids([*study, *whole_series])
    assert (again.asked, again.is_complete) == (0, True)


def test_priors_are_the_newest_earlier_studies_of_the_patient_in_the_same_modality(hospital: Hospital):
    def of(date: str, patient: str = "P*7", modality: str = "CT") -> str:
        return hospital.upload([altered(ds, StudyDate=date, PatientID=patient, Modality=modality) for ds in ct_study(slices=1)])

    study, older, oldest = of("20260501"), of("20260301"), of("20250101")
    newest = of("20260401")
    for another in (("20260601",), ("20260402", "P-7"), ("20260403", "P*7", "MR")):
        of(*another)

    fetched = hospital.fetch(Wanted(study, priors=2), "move")
    all_of_them = hospital.fetch(Wanted(study, priors=9, only_missing=True), "move")

    assert [(item.study.study_instance_uid, item.is_prior, item.is_complete) for item in fetched] == [
        (study, False, True),
        (newest, True, True),
        (older, True, True),
    ]
    assert [item.study.study_instance_uid for item in all_of_them] == [study, newest, older, oldest]


def test_what_the_pacs_holds_compressed_comes_compressed_by_c_get(hospital: Hospital):
    (ds,) = ct_study(slices=1)
    ds.compress(RLELossless, generate_instance_uid=False)
    uid = hospital.upload([ds])

    (fetched,) = hospital.fetch(Wanted(uid), "get")

    assert fetched.is_complete
    (file,) = hospital.node.files(uid)
    assert dcmread(file).file_meta.TransferSyntaxUID == RLELossless


@both_ways
def test_a_study_or_a_series_that_is_not_there_is_named(hospital: Hospital, retrieve: str):
    uid = hospital.upload(ct_study(slices=1))

    with pytest.raises(NotThere, match=r"ORTHANC at .* has no study 1\.2\.999"):
        hospital.fetch(Wanted("1.2.999"), retrieve)
    with pytest.raises(NotThere, match=r"has no series 1\.2\.998"):
        hospital.fetch(Wanted(uid, ("1.2.998",)), retrieve)


def test_a_pacs_that_does_not_know_us_as_a_destination_is_why_nothing_came(tmp_path: Path, hospital: Hospital):
    study = ct_study(slices=1)
    other = Hospital(hospital.orthanc, hospital.node, hospital.store, tmp_path)
    uid = other.upload(study)
    strange = Source(ae_title=AE_TITLE, host="127.0.0.1", port=hospital.orthanc.dicom_port, calling_ae_title="CAD_NODE")
    settings = Settings(node=Node(ae_title="STRANGER", data_dir=hospital.node.folder))

    (fetched,) = fetch(strange, settings, hospital.store, Wanted(uid), progress=lambda *_: None, stop=threading.Event())

    assert (fetched.asked, fetched.arrived, fetched.is_complete) == (1, 0, False)
    assert fetched.trouble.startswith("0x")


def test_nothing_is_asked_for_once_it_is_to_stop(hospital: Hospital):
    uid = hospital.upload(ct_study(slices=1))
    stop = threading.Event()
    stop.set()

    (fetched,) = hospital.fetch(Wanted(uid, priors=1), "move", stop)

    assert (fetched.asked, fetched.arrived, fetched.trouble) == (1, 0, "cancelled")
    assert hospital.received(uid) == set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom leaves the unconnected socket to the collector
def test_a_pacs_that_is_away_is_named(hospital: Hospital):
    with pytest.raises(PacsUnreachable, match="can't be reached"):
        hospital.fetch(Wanted("1.2.3"), "move", port=unused_port())


@both_ways
def test_nothing_of_the_patient_is_logged(hospital: Hospital, retrieve: str, capfd: pytest.CaptureFixture[str]):
    study = [altered(ds, PatientID="SECRET-7", PatientName="Secret^Name", PatientBirthDate="19431231") for ds in ct_study(slices=1)]
    uid = hospital.upload(study)

    hospital.fetch(Wanted(uid, priors=3), retrieve)

    said = "".join(capfd.readouterr())
    assert uid in said
    assert not any(secret in said for secret in ("SECRET", "Secret", "1943"))
