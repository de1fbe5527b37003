"""Results of jobs, as rows and as files, for the tests of query and retrieve."""

from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage, SegmentationStorage

from cad_node.output.file import encode
from cad_node.store.database import Database
from cad_node.store.files import write_durably
from cad_node.store.jobs import Jobs, NewResult
from cad_node.store.studies import Studies
from tests.store.arrivals import NOW, claim, index, new_job, received, settle

CLASSES = {"SEG": SegmentationStorage, "SR": ComprehensiveSRStorage}


def make_results(database: Database, folder: Path, study_instance_uid: str, **patient_and_study: str) -> list[Dataset]:
    """A study with one job done, which made a SEG and an SR; their data sets.

    patient_and_study: attributes of both, beside PatientName Muster^Eva, PatientID P-1 and StudyDate 20260102.
    """
    studies, jobs = Studies(database), Jobs(database)
    index(studies, received(study=study_instance_uid), NOW)
    settle(studies, study_instance_uid, new_job(series=f"{study_instance_uid}.1"))
    job = claim(jobs)
    made = [_result(study_instance_uid, number, modality, patient_and_study) for number, modality in enumerate(CLASSES, 1)]
    jobs.finish(job, [_filed(folder, ds) for ds in made], {}, NOW)
    return made


def _result(study_instance_uid: str, number: int, modality: str, values: dict[str, str]) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Muster^Eva", "P-1", "19600101", "F"
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.StudyID = "20260102", "101112", "A1", "1"
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study_instance_uid, f"{study_instance_uid}.7.{number}"
    ds.SOPClassUID, ds.SOPInstanceUID = CLASSES[modality], f"{study_instance_uid}.8.{number}"
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber, ds.SeriesDescription = modality, 900 + number, 1, f"{modality} of the lungs"
    return ds


def _filed(folder: Path, ds: Dataset) -> NewResult:
    path = folder / f"{ds.SOPInstanceUID}.dcm"
    sha256 = write_durably(path, encode(ds))
    return NewResult(ds.Modality.lower(), ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID, path, sha256)
