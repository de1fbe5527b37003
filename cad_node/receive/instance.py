"""One received instance: checked, stored, indexed. Knows nothing of the network."""

from dataclasses import dataclass
from datetime import datetime

from cad_node.log import get_logger
from cad_node.receive.header import Header, read_header
from cad_node.receive.part10 import file_head
from cad_node.receive.presentation import IMAGE_CLASSES
from cad_node.receive.statuses import MismatchedDataset
from cad_node.store.files import OutOfSpace, Placed, Spool, check_uid
from cad_node.store.studies import ReceivedInstance, Studies

log = get_logger()


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """What a C-STORE request says, and its data set as it was sent."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    dataset: bytes


def receive_instance(request: StoreRequest, spool: Spool, studies: Studies, now: datetime) -> str:
    """Check, store and index one instance; on return both file and row are durable. Returns its Study Instance UID.

    Raises the errors of statuses.STORE_STATUSES; the instance isn't in the index then.
    """
    header = read_header(request.dataset, request.transfer_syntax_uid)
    _check_identity(request, header)
    if not spool.has_room():
        raise OutOfSpace("less free space than scp.min_free_mb; free some, then send it again")
    head = file_head(header.sop_class_uid, header.sop_instance_uid, request.transfer_syntax_uid, request.calling_ae_title)
    placed = spool.place(header.study_instance_uid, header.series_instance_uid, header.sop_instance_uid, (head, request.dataset))
    received = _received(request, header, placed, is_result=_is_result(header, studies))
    if received.is_result:
        log.debug("instance.is_result", sop_instance_uid=header.sop_instance_uid, study=header.study_instance_uid)
    studies.index(received, now)  # no new row: the instance was there already, the same
    return header.study_instance_uid


def _check_identity(request: StoreRequest, header: Header) -> None:
    check_uid("Study Instance UID", header.study_instance_uid)
    check_uid("Series Instance UID", header.series_instance_uid)
    check_uid("SOP Class UID", header.sop_class_uid)
    check_uid("SOP Instance UID", header.sop_instance_uid)
    if header.sop_class_uid != request.sop_class_uid:
        raise MismatchedDataset(f"instance {header.sop_instance_uid}: its SOP Class UID {header.sop_class_uid} isn't that of the command")
    if header.sop_instance_uid != request.sop_instance_uid:
        raise MismatchedDataset(f"instance {header.sop_instance_uid}: its SOP Instance UID isn't that of the command")


def _is_result(header: Header, studies: Studies) -> bool:
    """Whether the instance was made from images and so is never analysed, nor reopens its study.

    Not only what this node made: a report or a segmentation of any origin, and images that other CAD systems made. An image
    that is ORIGINAL stays input, whatever workstation or router has added itself as processing equipment; it isn't looked up
    among the node's own results, all of which are derived.
    """
    if header.sop_class_uid not in IMAGE_CLASSES:
        return True
    pixels = next(iter(header.index.get("ImageType", ())), "")  # value 1: Pixel Data Characteristics, PS3.3 C.7.6.1.1.2
    if pixels == "ORIGINAL":
        return False
    return (pixels == "DERIVED" and header.names_processing) or studies.is_own_result(header.sop_instance_uid)


def _received(request: StoreRequest, header: Header, placed: Placed, is_result: bool) -> ReceivedInstance:
    return ReceivedInstance(
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        transfer_syntax_uid=request.transfer_syntax_uid,
        modality=header.modality,
        path=placed.path,
        sha256=placed.sha256,
        header=dict(header.index),
        is_result=is_result,
    )
