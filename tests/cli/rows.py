"""Jobs in each state that an admin steers from."""

from datetime import UTC, datetime
from pathlib import Path

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SegmentationStorage, generate_uid

from cad_node.app.start import Store
from cad_node.objects import Profile
from cad_node.store.deliveries import ClaimedDelivery
from cad_node.store.jobs import NewResult
from cad_node.store.studies import NewJob, ReceivedInstance
from tests.store.arrivals import index

T0 = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
MODEL = ("lung_nodule_ct", "1.0.0")


def add_job(store: Store, *, refusal: tuple[str, str] | None = None) -> int:
    """A settled study of one image, and its one job: queued, or refused with a code and a sentence."""
    uid, *image = generate_uid(), generate_uid(), generate_uid()
    received = ReceivedInstance(uid, *image, CTImageStorage, ExplicitVRLittleEndian, "CT", Path("image.dcm"), "0" * 64, {}, is_result=False)
    index(store.studies, received, T0)
    job = NewJob(*MODEL, image[0], 0, *(refusal or (None, "")), evidence="association end")
    (evidence,) = store.studies.receiving()
    assert store.studies.settle(uid, evidence.revision, [job], T0, last_instance_at=evidence.last_instance_at)
    return store.jobs.list()[0].id


def finish_job(store: Store, *destinations: str, fault: str = "") -> int:
    """A job that is done with one result, to be delivered to each destination; with a fault it is held back."""
    job_id = add_job(store)
    job = store.jobs.claim("host/worker cpu/7", [MODEL], T0, 60)
    assert job is not None
    assert job.id == job_id
    result = NewResult("seg", SegmentationStorage, generate_uid(), generate_uid(), Path("seg.dcm"), "1" * 64, fault=fault)
    store.jobs.finish(job, [result], {name: Profile(("seg",)) for name in destinations}, T0, timings_s={"infer": 1.5})
    return job_id


def claim_delivery(store: Store, destination: str) -> ClaimedDelivery:
    (claimed,) = store.deliveries.claim(destination, "host/sender/8", T0, 60, 1)
    return claimed
