"""A study that is analysed again: its results follow the earlier ones, and reject them; through the real worker."""

import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from cad_node.findings import Findings
from cad_node.imaging.volume import Volume
from cad_node.inference.model import OWN, Model
from cad_node.inference.network import load_network
from cad_node.lifecycle import DeliveryState, JobState
from cad_node.manifest import PartFolder, read_model, read_part
from cad_node.objects import Profile
from cad_node.output.builder import Builder, Run
from cad_node.output.kos import build_kos
from cad_node.output.rejection import build_rejection
from cad_node.output.seg import build_seg
from cad_node.output.sr import build_sr
from cad_node.receive.completeness import analyse_again
from cad_node.settings import Queue
from cad_node.store.database import Database
from cad_node.store.deliveries import Deliveries
from cad_node.store.jobs import JobDetail, Jobs
from cad_node.store.studies import NewJob, ReceivedInstance, Studies
from cad_node.worker import Worker
from tests.factory import ct_study, save_study
from tests.output import case
from tests.shipped_models import LUNG_NODULES
from tests.store.arrivals import index

KEY = ("lung_nodule_ct", LUNG_NODULES.name)
MODEL = Model(read_model(LUNG_NODULES).manifest, {OWN: load_network(PartFolder(LUNG_NODULES, read_part(LUNG_NODULES)), "cpu", threads=1)})
SLICES = 30  # the last comes late
OBJECTS = ("seg", "sr", "kos", "tree", "rejection")


class Node:
    """A worker and the study that it is given."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.worker = Worker(
            name="worker under test",
            models={KEY: MODEL},
            tasks={"analyse_lungs": lambda volume, _manifest, _networks: case.findings(volume)},
            builders={"seg": build_seg, "sr": build_sr, "kos": build_kos, "rejection": build_rejection},
            profiles={"pacs": Profile(OBJECTS, destination="pacs"), "viewer": Profile(("sr",), destination="viewer")},
            studies=Studies(database),
            jobs=Jobs(database),
            results_dir=folder / "results",
            node_uid=uuid.UUID(int=1),
            timezone=UTC,
            queue=Queue(lease_s=30, poll_s=0.02, max_attempts=2, backoff_first_s=10, backoff_longest_s=10),
            clock=lambda: datetime.now(UTC),
            rng=random.Random(1),
        )
        self.deliveries = Deliveries(database)
        self.datasets = ct_study(slices=SLICES, voxels=np.full((SLICES, 61, 67), -850, np.int16))
        self.files = save_study(self.datasets, folder / "images")
        self.study_uid = str(self.datasets[0].StudyInstanceUID)

    def with_builders(self, **builders: Builder) -> None:
        self.worker = replace(self.worker, builders={**self.worker.builders, **builders})

    def receive(self, which: slice) -> None:
        for ds, file in zip(self.datasets[which], self.files[which], strict=True):
            uids = ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, ds.SOPClassUID
            image = ReceivedInstance(*uids, ds.file_meta.TransferSyntaxUID, "CT", file, ds.SOPInstanceUID, header(ds), is_result=False)
            index(self.worker.studies, image, self.worker.clock())

    def settle(self) -> int:
        (evidence,) = self.worker.studies.receiving()
        job = NewJob(*KEY, self.datasets[0].SeriesInstanceUID, 0, None, "")
        now, last_instance_at = self.worker.clock(), evidence.last_instance_at
        assert self.worker.studies.settle(self.study_uid, evidence.revision, [job], now, last_instance_at=last_instance_at)
        return self.worker.jobs.list(None, 1)[0].id

    def late_image(self) -> int:
        self.receive(slice(SLICES - 1, SLICES))
        return self.settle()

    def asked_again(self) -> int:
        (number,) = analyse_again(self.worker.studies, self.study_uid, [MODEL.manifest], self.worker.clock())
        return number

    def deliver(self, limit: int = 100) -> set[str]:
        """Send what is due to the PACS; the objects' UIDs."""
        claims = self.deliveries.claim("pacs", "sender", self.worker.clock(), 30, limit)
        for claim in claims:
            self.deliveries.deliver(claim, "", self.worker.clock())
        return {claim.sop_instance_uid for claim in claims}

    def done(self, job_id: int) -> JobDetail:
        """Let the worker run until it is done with the job."""
        stop = threading.Event()
        thread = threading.Thread(target=self.worker.run, args=[stop])
        thread.start()
        deadline = time.monotonic() + 30
        while (job := self.worker.jobs.show(job_id)).summary.finished_at is None:
            assert time.monotonic() < deadline, "the worker never came to an end with the job"
            time.sleep(0.02)
        stop.set()
        thread.join()
        assert job.summary.state == JobState.DONE, job.summary.reason
        return job


def header(ds: Dataset) -> Mapping[str, Any]:
    return {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "BodyPartExamined": "CHEST",
        "ImagePositionPatient": [float(value) for value in ds.ImagePositionPatient],
        "ImageOrientationPatient": [float(value) for value in ds.ImageOrientationPatient],
        "PixelSpacing": [float(value) for value in ds.PixelSpacing],
    }


@pytest.fixture
def node(database: Database, tmp_path: Path) -> Node:
    return Node(database, tmp_path)


def objects(job: JobDetail) -> dict[str, Dataset]:
    return {result.builder: dcmread(result.path) for result in job.results}


def referred_to(sequence) -> set[str]:
    return {
        item.ReferencedSOPInstanceUID
        for study in sequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


def named_by(key_objects: Dataset) -> set[str]:
    return {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in key_objects.ContentSequence if "ReferencedSOPSequence" in item
    }


AGAIN = pytest.mark.parametrize("again", [Node.late_image, Node.asked_again], ids=["late image", "asked for"])


@AGAIN
def test_what_a_later_run_gives_follows_and_rejects_what_the_earlier_gave(node: Node, again: Callable[[Node], int]):
    node.receive(slice(SLICES - 1))
    first = node.done(node.settle())
    node.deliver()

    second = node.done(again(node))

    earlier, later = objects(first), objects(second)
    assert (set(earlier), set(later)) == (set(OBJECTS) - {"rejection"}, set(OBJECTS))
    assert referred_to(later["sr"].PredecessorDocumentsSequence) == {earlier["sr"].SOPInstanceUID}
    assert referred_to(later["tree"].PredecessorDocumentsSequence) == {earlier["tree"].SOPInstanceUID}
    everything = {ds.SOPInstanceUID for ds in earlier.values()}
    assert named_by(later["rejection"]) == referred_to(later["rejection"].CurrentRequestedProcedureEvidenceSequence) == everything
    assert {ds.StudyInstanceUID for ds in (*earlier.values(), *later.values())} == {node.study_uid}
    assert len({ds.SeriesInstanceUID for ds in (*earlier.values(), *later.values())}) == len(earlier) + len(later)


def test_the_rejection_goes_where_it_is_wanted_and_what_it_rejects_is_not_sent_any_more(node: Node):
    node.receive(slice(SLICES - 1))
    first = node.done(node.settle())
    sent = node.deliver(2)

    second = node.done(node.late_image())

    rejection = objects(second)["rejection"]
    earlier = node.worker.jobs.show(first.summary.id).deliveries
    assert named_by(rejection) == sent
    assert [one.destination for one in second.deliveries if one.sop_instance_uid == rejection.SOPInstanceUID] == ["pacs"]
    assert {one.state for one in second.deliveries} == {DeliveryState.PENDING}
    unsent = {(one.state, one.reason) for one in earlier if one.destination == "viewer" or one.sop_instance_uid not in sent}
    assert unsent == {(DeliveryState.CANCELLED, f"superseded by job {second.summary.id}")}


def test_a_third_run_takes_the_place_of_the_second_alone_and_rejects_no_rejection(node: Node):
    node.receive(slice(SLICES - 1))
    node.done(node.settle())
    node.deliver()
    second = objects(node.done(node.late_image()))
    node.deliver()

    third = objects(node.done(node.asked_again()))

    assert referred_to(third["sr"].PredecessorDocumentsSequence) == {second["sr"].SOPInstanceUID}
    assert named_by(third["rejection"]) == {ds.SOPInstanceUID for name, ds in second.items() if name != "rejection"}


def test_results_of_which_one_is_held_back_reject_nothing_until_the_next_run(node: Node):
    node.receive(slice(SLICES - 1))
    first = node.done(node.settle())
    sent = node.deliver()
    node.with_builders(kos=of_another_patient)
    second = node.done(node.late_image())
    sent |= node.deliver()
    node.with_builders(kos=build_kos)
    waiting = {one.state for one in node.worker.jobs.show(first.summary.id).deliveries if one.destination == "viewer"}

    third = objects(node.done(node.asked_again()))

    faults = {result.builder: result.fault for result in second.results}
    assert "PatientID isn't the source's" in faults["kos"]
    assert "kos, tree is held back" in faults["rejection"]
    assert (faults["seg"], faults["sr"], waiting) == ("", "", {DeliveryState.PENDING})
    assert named_by(third["rejection"]) == sent
    unsent = [one for one in node.worker.jobs.show(first.summary.id).deliveries if one.destination == "viewer"]
    assert {one.state for one in unsent} == {DeliveryState.CANCELLED}


def of_another_patient(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:
    (ds,) = build_kos(volume, findings, run)
    ds.PatientID = "somebody else"
    return [ds]
