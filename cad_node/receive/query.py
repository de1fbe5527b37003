"""Query and retrieve as a service of the listener: C-FIND, C-GET and C-MOVE over the node's own results, PS3.4 C.4.

pynetdicom makes the C-STORE sub-operations, counts them, and answers with the final status.
"""

import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from cad_node.errors import CadNodeError
from cad_node.log import get_logger
from cad_node.receive.audited import Audited
from cad_node.receive.matching import matches, texts_of
from cad_node.receive.query_identifier import MismatchedIdentifier, Wanted, read_query, read_retrieve
from cad_node.receive.result_headers import PATIENT, STUDY, Entity, entities, of_patients
from cad_node.receive.service import Handler
from cad_node.settings import Destination
from cad_node.store.held import Held, HeldResult
from cad_node.tls import TlsContext

log = get_logger()

_TOP_LEVELS: Mapping[str, str] = {
    PatientRootQueryRetrieveInformationModelFind: PATIENT,
    PatientRootQueryRetrieveInformationModelMove: PATIENT,
    PatientRootQueryRetrieveInformationModelGet: PATIENT,
    StudyRootQueryRetrieveInformationModelFind: STUDY,
    StudyRootQueryRetrieveInformationModelMove: STUDY,
    StudyRootQueryRetrieveInformationModelGet: STUDY,
}
_PENDING, _PENDING_UNKNOWN_KEYS, _CANCELLED = 0xFF00, 0xFF01, 0xFE00  # PS3.4 Table C.4-1
_MISMATCHED, _OUT_OF_RESOURCES, _CANNOT_COUNT, _UNABLE = 0xA900, 0xA700, 0xA701, 0xC000
_MOST_CONTEXTS = 128  # of an association, PS3.8 9.3.2.2

Answer = tuple[int | Dataset, Dataset | None]


class Query:
    """Lets a PACS look for the node's results, and pull them."""

    def __init__(self, held: Held, destinations: Mapping[str, Destination], ae_title: str, audited: Audited | None = None) -> None:
        """destinations: where a C-MOVE may send to, by their AE titles. audited: is told of what is about to be sent."""
        self._held, self._destinations, self._ae_title, self._audited = held, destinations, ae_title, audited

    def contexts(self) -> Sequence[PresentationContext]:
        return [build_context(model, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]) for model in _TOP_LEVELS]

    def handlers(self) -> Sequence[Handler]:
        return [(evt.EVT_C_FIND, self._find), (evt.EVT_C_GET, self._get), (evt.EVT_C_MOVE, self._move)]

    def _find(self, event: Any) -> Iterator[Answer]:
        try:
            wanted, keys, has_unknown = read_query(event.identifier, _TOP_LEVELS[event.request.AffectedSOPClassUID])
            pending = _PENDING_UNKNOWN_KEYS if has_unknown else _PENDING
            count = 0
            for entity in entities(self._chosen(wanted), wanted.level):
                if event.is_cancelled:
                    yield _CANCELLED, None
                    return
                if all(matches(key, entity.element(key.keyword)) for key in keys):
                    count += 1
                    yield pending, self._response(wanted.level, [key.keyword for key in keys], entity)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the request, or the database, is a status
            yield _failure(error, event), None
            return
        log.info("query.answered", calling_ae_title=event.assoc.requestor.ae_title, query_level=wanted.level, matches=count)

    def _get(self, event: Any) -> Iterator[Any]:
        try:
            chosen = self._retrieved(event)
        except Exception as error:  # noqa: BLE001 - as in _find
            yield 1  # sub-operations: of none pynetdicom would make a success
            yield _failure(error, event, _CANNOT_COUNT), None
            return
        yield len(chosen)
        yield from _sub_operations(chosen, event)

    def _move(self, event: Any) -> Iterator[Any]:
        to = next((to for to in self._destinations.values() if to.ae_title == event.move_destination), None)
        if to is None:
            log.warning("move.destination_unknown", calling_ae_title=event.assoc.requestor.ae_title, destination=event.move_destination)
            yield None, None  # pynetdicom answers 0xA801
            return
        try:
            chosen = self._retrieved(event)
            yield to.host, to.port, {"contexts": _contexts_of(chosen), "evt_handlers": [(evt.EVT_CONN_OPEN, _send_at_once)], **_tls(to)}
        except Exception as error:  # noqa: BLE001 - as in _find
            # pynetdicom answers no status of ours before it has an association with the destination
            yield to.host, to.port, {"contexts": [build_context(Verification)], **_tls(to)}
            yield 1
            yield _failure(error, event, _CANNOT_COUNT), None
            return
        yield len(chosen)
        yield from _sub_operations(chosen, event)

    def _retrieved(self, event: Any) -> list[HeldResult]:
        """What a C-GET or a C-MOVE asks for."""
        wanted = read_retrieve(event.identifier, _TOP_LEVELS[event.request.AffectedSOPClassUID])
        chosen = self._chosen(wanted)
        if wanted.patient_ids:
            chosen = of_patients(chosen, wanted.patient_ids)
        caller = event.assoc.requestor.ae_title
        log.info("retrieve.answered", calling_ae_title=caller, studies=wanted.study_instance_uids, instances=len(chosen))
        if self._audited:
            self._audited.retrieved(event.assoc, chosen)
        return chosen

    def _chosen(self, wanted: Wanted) -> list[HeldResult]:
        return self._held.results(wanted.study_instance_uids, wanted.series_instance_uids, wanted.sop_instance_uids)

    def _response(self, level: str, keywords: Sequence[str], entity: Entity) -> Dataset:
        """The identifier of one match, PS3.4 C.4.1.1.3.2: every key that was asked for, without a value where there is none."""
        ds = Dataset()
        for keyword in keywords:
            held = entity.element(keyword)
            setattr(ds, keyword, None if held is None else _text_of_names(held))
        ds.QueryRetrieveLevel = level
        ds.RetrieveAETitle, ds.InstanceAvailability = self._ae_title, "ONLINE"
        ds.SpecificCharacterSet = "ISO_IR 192"  # UTF-8 holds whatever the headers do
        return ds


def _text_of_names(held: DataElement) -> Any:
    """The value; of a name its text, since pydicom would write the bytes as they were in the file, in another character set."""
    return texts_of(held) if held.VR == "PN" else held.value


def _sub_operations(chosen: Sequence[HeldResult], event: Any) -> Iterator[Answer]:
    for result in chosen:
        if event.is_cancelled:
            yield _CANCELLED, None
            return
        yield _PENDING, _sendable(result)


def _sendable(result: HeldResult) -> Dataset:
    """The object; where its file can't be read, one that pynetdicom can't send either, and so counts and names as failed."""
    try:
        return dcmread(result.path)
    except Exception as error:  # noqa: BLE001 - pydicom raises anything on a broken file; the others are sent all the same
        log.error("result.unreadable", sop_instance_uid=result.sop_instance_uid, error=type(error).__name__)
        ds = Dataset()
        ds.SOPInstanceUID = result.sop_instance_uid
        return ds


def _contexts_of(chosen: Sequence[HeldResult]) -> list[PresentationContext]:
    """A presentation context for each SOP class in each transfer syntax that the files have."""
    pairs = dict.fromkeys(pair for result in chosen for pair in _class_and_syntax(result))
    return [build_context(sop_class, syntax) for sop_class, syntax in list(pairs)[:_MOST_CONTEXTS]] or [build_context(Verification)]


def _class_and_syntax(result: HeldResult) -> list[tuple[str, str]]:
    try:
        meta = read_file_meta_info(result.path)
        return [(str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID))]
    except Exception:  # noqa: BLE001 - it fails as a sub-operation, which says so
        return []


def _tls(to: Destination) -> Mapping[str, Any]:
    """How pynetdicom secures the association, where it is to be. Raises UnusableTlsFile."""
    return {"tls_args": (TlsContext(to.tls).current(), to.host)} if to.tls else {}


def _send_at_once(event: Any) -> None:
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each message waits for a delayed ACK


def _failure(error: Exception, event: Any, may_pass: int = _OUT_OF_RESOURCES) -> Dataset:
    """The status data set that answers `error`, PS3.4 Tables C.4-1 to C.4-3; may_pass: the status of what can be tried again."""
    status = Dataset()
    caller = event.assoc.requestor.ae_title
    if isinstance(error, MismatchedIdentifier):
        log.warning("query.mismatched", calling_ae_title=caller, reason=str(error))
        status.Status, status.ErrorComment = _MISMATCHED, str(error)
        return status
    log.error("query.failed", calling_ae_title=caller, exc_info=error)
    status.Status = may_pass if isinstance(error, CadNodeError) and error.retryable else _UNABLE
    return status
