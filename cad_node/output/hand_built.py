"""The beginning of objects that no library makes: patient, study, series, equipment, SOP Common."""

from typing import Any

from highdicom.base import SOPClass
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from cad_node.output.builder import Run
from cad_node.output.equipment import general_equipment


def begin(header: Dataset, sop_class_uid: UID, sop_instance_uid: str, run: Run, **series: Any) -> SOPClass:
    """To be filled with its own modules, and stamped.

    header: the first of reference_headers(), or a study_header(). series: SOPClass's arguments that tell one object from another.
    """
    ds = SOPClass(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        study_instance_uid=header.StudyInstanceUID,
        patient_id=header.PatientID,
        patient_name=header.PatientName,
        patient_birth_date=header.PatientBirthDate,
        patient_sex=header.PatientSex,
        accession_number=header.AccessionNumber,
        study_id=header.StudyID,
        study_date=header.StudyDate,
        study_time=header.StudyTime,
        referring_physician_name=header.ReferringPhysicianName,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set=None,  # stamp() sets it
        **general_equipment(run),
        **series,
    )
    ds.copy_patient_and_study_information(header)
    ds.ContributingEquipmentSequence = []  # stamp() adds the algorithm
    return ds
