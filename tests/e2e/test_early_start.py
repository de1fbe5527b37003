"""The receiving process as a whole: a model begins by what others say of its series, long before any wait is over."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom.sop_class import ModalityPerformedProcedureStep

from cad_node.app.scp import run_scp
from cad_node.app.start import Store, look_into_store
from cad_node.lifecycle import StudyState
from cad_node.settings import Settings
from cad_node.store.job_values import JobSummary
from tests.e2e.orthanc import AE_TITLE, MISSING, Orthanc
from tests.e2e.ports import free_port
from tests.factory import altered, ct_study, save_study
from tests.receive.front_door import associate, store, wait_until

FOR_EVER_S = 9999
SLICES = 24


@contextmanager
def receiving(settings: Settings) -> Iterator[Store]:
    """The receiving process, as a thread."""
    stop = threading.Event()
    process = threading.Thread(target=run_scp, args=(settings, stop))
    process.start()
    wait_until(lambda: _answers(settings.scp.port), timeout_s=30)
    yield (opened := look_into_store(settings))
    stop.set()
    process.join(30)
    opened.database.dispose()


def settings_of(folder: Path, **more: object) -> Settings:
    """Of a node that waits for nothing but evidence."""
    return Settings(
        node={"data_dir": folder / "node"},
        scp={"host": "127.0.0.1", "port": free_port(), "min_free_mb": 0},
        completeness={"quiet_s": FOR_EVER_S, "association_end_s": FOR_EVER_S, "count_s": 0.5},
        queue={"poll_s": 0.1},
        **more,
    )


def test_a_model_begins_when_the_modality_says_that_its_series_is_whole_while_another_is_sent(tmp_path: Path) -> None:
    chest = ct_study(slices=SLICES)
    other = altered(
        chest[0], SeriesInstanceUID=generate_uid(), SOPInstanceUID=generate_uid(), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
    )
    settings = settings_of(tmp_path)

    with receiving(settings) as rows:
        association = associate(
            settings.scp.port, (CTImageStorage, ExplicitVRLittleEndian), (ModalityPerformedProcedureStep, ExplicitVRLittleEndian)
        )
        step = generate_uid()
        association.send_n_create(begun(chest[0].StudyInstanceUID), ModalityPerformedProcedureStep, step)
        statuses = {store(association, ds).Status for ds in [*chest, other]}
        association.send_n_set(completed(chest), ModalityPerformedProcedureStep, step)
        (job,) = jobs_of(rows)
        state = rows.studies.list()[0].state
        association.release()

    assert statuses == {0x0000}
    assert (job.series_instance_uid, job.evidence, state) == (chest[0].SeriesInstanceUID, "MPPS completed", StudyState.STARTED)


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: Debian's {MISSING}")
def test_a_model_begins_when_the_pacs_that_sends_counts_as_many_images_as_have_come(tmp_path: Path) -> None:
    chest, dicom_port = ct_study(slices=SLICES), free_port()
    source = {"ae_title": AE_TITLE, "host": "127.0.0.1", "port": dicom_port}
    settings = settings_of(tmp_path, sources={"pacs": source})

    with receiving(settings) as rows, Orthanc(tmp_path, free_port(), dicom_port, settings.scp.port) as orthanc:
        orthanc.post("/modalities/cad_node/store", orthanc.upload(save_study(chest, tmp_path / "chest")).encode())
        (job,) = jobs_of(rows)

    assert (job.series_instance_uid, job.evidence) == (chest[0].SeriesInstanceUID, "instance count")


def begun(study_instance_uid: str) -> Dataset:
    scheduled, ds = Dataset(), Dataset()
    scheduled.StudyInstanceUID = study_instance_uid
    ds.PerformedProcedureStepStatus, ds.ScheduledStepAttributesSequence = "IN PROGRESS", [scheduled]
    return ds


def completed(images: list[Dataset]) -> Dataset:
    series, ds = Dataset(), Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = images[0].SeriesInstanceUID, [Dataset() for _ in images]
    for item, image in zip(series.ReferencedImageSequence, images, strict=True):
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    ds.PerformedProcedureStepStatus, ds.PerformedSeriesSequence = "COMPLETED", [series]
    return ds


def jobs_of(rows: Store) -> list[JobSummary]:
    wait_until(rows.jobs.list, timeout_s=30)
    return rows.jobs.list()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
