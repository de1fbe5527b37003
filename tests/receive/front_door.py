"""What a sender does at the front door, down to requests that no library would send, and what is found behind it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from cad_node.receive.access import Access
from cad_node.receive.audited import Audited
from cad_node.receive.doorkeeper import Doorkeeper
from cad_node.receive.index_queue import IndexQueue
from cad_node.receive.instance import Intake
from cad_node.receive.listener import Listener
from cad_node.receive.recovery import index_what_was_left
from cad_node.receive.service import Service
from cad_node.receive.storage import Storage
from cad_node.settings import Peer, Scp
from cad_node.store.database import Database
from cad_node.store.migrate import upgrade
from cad_node.store.spool import Spool
from cad_node.store.studies import Studies, StudySummary
from tests.factory import altered

ECHO = "1.2.840.10008.1.1"


@dataclass(frozen=True, slots=True)
class FrontDoor:
    scp: Listener
    port: int
    folder: Path
    studies: Studies
    database: Database

    def associate(self, *contexts: tuple[str, str], calling_ae_title: str = "MODALITY") -> Association:
        """An association with verification and `contexts`: SOP class, transfer syntax; without any, CT in Explicit VR Little Endian."""
        return associate(self.port, *contexts, calling_ae_title=calling_ae_title)

    def send(self, *datasets: Dataset, calling_ae_title: str = "MODALITY") -> list[int]:
        """The statuses of C-STOREs over one association, released at the end."""
        association = self.associate(*{(ds.SOPClassUID, ExplicitVRLittleEndian) for ds in datasets}, calling_ae_title=calling_ae_title)
        statuses = [store(association, ds).Status for ds in datasets]
        association.release()
        return statuses

    def files(self, study_instance_uid: str) -> list[Path]:
        """The files of a study's instances."""
        return sorted((self.folder / "spool" / "instances" / study_instance_uid).rglob("*.dcm"))

    def study(self, study_instance_uid: str) -> StudySummary:
        (study,) = (study for study in self.studies.list(limit=10_000) if study.study_instance_uid == study_instance_uid)
        return study

    def file(self, sop_instance_uid: str) -> Path:
        (path,) = (self.folder / "spool" / "instances").rglob(f"{sop_instance_uid}.dcm")
        return path


@contextmanager
def opened_front_door(
    folder: Path,
    *,
    fast: bool = True,
    services: Callable[[Database], Sequence[Service]] = lambda _: (),
    peers: Mapping[str, Peer] | None = None,
    audited: Audited | None = None,
    **settings: Any,
) -> Iterator[FrontDoor]:
    """A listener over a spool and a new SQLite database in `folder`; settings: those of Scp that differ.

    fast: False has pynetdicom serve the associations as it comes. services: what the listener offers beside storage.
    audited: is told of what happens.
    peers: as in the settings; a peer that they don't describe may do anything.
    tls: makes it a listener over TLS.
    """
    folder.mkdir(exist_ok=True)
    url = f"sqlite:///{folder / 'node.db'}"
    upgrade(url)
    database = Database(url)
    scp_settings = Scp(host="127.0.0.1", port=0, **{"min_free_mb": 0, "unknown_peers": "accept"} | settings)
    studies = Studies(database)
    with closing(Spool(folder / "spool", scp_settings.min_free_mb)) as spool, IndexQueue(spool, studies) as index:
        index_what_was_left(spool, index, utc_now)
        storage = Storage(Intake(spool, index, utc_now), index, studies, utc_now, audited)
        doorkeeper = Doorkeeper(Access(scp_settings, peers or {}, "CAD_NODE"), spool.has_room)
        offered = [doorkeeper, *services(database), *([audited] if audited else [])]
        scp = Listener(scp_settings, "CAD_NODE", storage, offered, tls=scp_settings.tls, fast=fast)
        yield FrontDoor(scp, scp.start(), folder, studies, database)
        scp.stop(grace_s=1)
    database.dispose()


def utc_now() -> datetime:
    return datetime.now(UTC)


def associate(
    port: int, *contexts: tuple[str, str], calling_ae_title: str = "MODALITY", called_ae_title: str = "CAD_NODE", **more: Any
) -> Association:
    """more: what else AE.associate takes."""
    ae = AE(calling_ae_title)
    ae.dimse_timeout = 10
    ae.add_requested_context(ECHO)
    for sop_class_uid, transfer_syntax_uid in contexts or ((CTImageStorage, ExplicitVRLittleEndian),):
        ae.add_requested_context(sop_class_uid, transfer_syntax_uid)
    connections: list[socket.socket] = []

    def keep(event: evt.Event) -> None:
        connections.append(event.assoc.dul.socket.socket)
        connections[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each message waits 40 ms for an acknowledgement

    def close(_event: evt.Event) -> None:
        connections.pop().close()  # pynetdicom doesn't, once the peer is gone

    def linger(event: evt.Event) -> None:
        if event.data[:1] == b"\x03":  # A-ASSOCIATE-RJ: pynetdicom takes one that comes at once for a connection that was never made
            time.sleep(0.2)

    handlers = [(evt.EVT_CONN_OPEN, keep), (evt.EVT_CONN_CLOSE, close), (evt.EVT_DATA_RECV, linger)]
    return surely_pausing(ae.associate("127.0.0.1", port, ae_title=called_ae_title, evt_handlers=handlers, **more))


def surely_pausing(association: Association) -> Association:
    """Have pynetdicom's send_* methods wait until the association's own thread rests: else that takes their answer, now and then."""
    association._reactor_checkpoint = _Checkpoint(association)
    return association


class _Checkpoint(threading.Event):
    def __init__(self, association: Association) -> None:
        super().__init__()
        self._association = association
        self.set()

    def clear(self) -> None:
        super().clear()
        for _ in range(2):  # seen only once, it may be just leaving its pause
            wait_until(lambda: self._association._is_paused or not self._association.is_alive())
            time.sleep(0.003)


def store(association: Association, ds: Dataset) -> Dataset:
    """C-STORE of a data set in Explicit VR Little Endian."""
    return store_bytes(association, encoded(ds), ds.SOPClassUID, ds.SOPInstanceUID)


def store_bytes(
    association: Association,
    dataset: bytes,
    sop_class_uid: str,
    sop_instance_uid: str,
    context: tuple[str, str] | None = None,
) -> Dataset:
    """C-STORE of any bytes under any UIDs; pynetdicom's own send_c_store encodes and checks them.

    context: SOP class and transfer syntax of the presentation context, where it isn't the one of `sop_class_uid`.
    """
    wanted_class, wanted_syntax = context or (sop_class_uid, None)
    context_id = next(
        c.context_id
        for c in association.accepted_contexts
        if c.abstract_syntax == wanted_class and wanted_syntax in (None, c.transfer_syntax[0])
    )
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class_uid, sop_instance_uid
    request.DataSet = BytesIO(dataset) if dataset else None  # else it would announce a data set and send no fragment
    with paused(association):
        association.dimse.send_msg(request, context_id)
        _, response = association.dimse.get_msg(block=True)
    status = Dataset()
    if response is None:
        raise ConnectionError("the association ended without an answer")
    status.Status = response.Status
    if response.ErrorComment:
        status.ErrorComment = response.ErrorComment
    return status


@contextmanager
def paused(association: Association) -> Iterator[None]:
    """Keeps the association's own thread from taking the answers; may be nested."""
    was_running = association._reactor_checkpoint.is_set()
    if was_running:
        association._reactor_checkpoint.clear()
    yield
    if was_running:
        association._reactor_checkpoint.set()


def encoded(ds: Dataset, is_implicit_vr: bool = False, is_little_endian: bool = True) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = is_implicit_vr, is_little_endian
    write_dataset(stream, ds)
    return stream.getvalue()


def identity(sop_class_uid: str = CTImageStorage, **values: str | None) -> Dataset:
    """The smallest data set that can be filed."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class_uid, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def with_frames(ds: Dataset, frames: list[bytes], fragments_per_frame: int = 1) -> Dataset:
    """A copy with encapsulated Pixel Data that nothing needs to decode."""
    changed = altered(ds, PixelData=encapsulate(frames, fragments_per_frame))
    changed["PixelData"].VR = "OB"
    changed["PixelData"].is_undefined_length = True
    return changed


def after_meta(path: Path) -> bytes:
    """The data set's bytes in a DICOM file."""
    meta = read_file_meta_info(path)
    return path.read_bytes()[144 + meta.FileMetaInformationGroupLength :]


def wait_until(done: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.005)


def contexts_of(sop_class_uids: Sequence[str], batch: int = 127) -> list[list[tuple[str, str]]]:
    """Presentation contexts in batches that fit one association beside verification: PS3.8 9.3.2 allows 128."""
    contexts = [(uid, ImplicitVRLittleEndian) for uid in sop_class_uids]
    return [contexts[start : start + batch] for start in range(0, len(contexts), batch)]
