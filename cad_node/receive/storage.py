"""Storage and verification as services of the listener: C-STORE, C-ECHO."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_RELEASE
from pynetdicom.presentation import PresentationContext

from cad_node.log import get_logger
from cad_node.receive.audited import Audited
from cad_node.receive.c_store import StoreCommand
from cad_node.receive.header import Header
from cad_node.receive.index_queue import IndexQueue, Ticket
from cad_node.receive.instance import IncomingInstance, Intake
from cad_node.receive.presentation import accepted_contexts
from cad_node.receive.service import Handler
from cad_node.receive.statuses import SUCCESS
from cad_node.store.studies import Studies

log = get_logger()

_INDEXED_WITHIN_S = 5.0  # what an association brought; its release isn't kept waiting longer


class Storage:
    """Takes every instance it can, and notes when associations that brought some end.

    audited: is told of each instance.
    """

    def __init__(
        self, intake: Intake, index: IndexQueue, studies: Studies, clock: Callable[[], datetime], audited: Audited | None = None
    ) -> None:
        self._intake, self._index, self._studies, self._clock, self._audited = intake, index, studies, clock, audited
        self._lock = threading.Lock()
        self._brought: dict[Association, dict[tuple[str, str], Ticket]] = {}  # study, series -> the last ticket of the index
        _let_every_uid_through()

    def contexts(self) -> Sequence[PresentationContext]:
        return accepted_contexts()

    def handlers(self) -> Sequence[Handler]:
        return [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_ACSE_RECV, self._before_release),
            (evt.EVT_RELEASED, self._end),
            (evt.EVT_ABORTED, self._end),
        ]

    def begin(self, command: StoreCommand, association: Association) -> IncomingInstance:
        """The sink of one C-STORE request."""

        def note(header: Header, ticket: Ticket) -> None:
            with self._lock:
                self._brought.setdefault(association, {})[header.study_instance_uid, header.series_instance_uid] = ticket
            if self._audited:
                self._audited.stored(association, header)

        def refuse(error: Exception) -> None:
            if self._audited:
                self._audited.refused(association, error)

        return self._intake.begin(command, note, refuse)

    def _store(self, event: Any) -> int | Dataset:
        """One C-STORE request the way pynetdicom hands it out; the fast path doesn't come here."""
        request = event.request
        command = StoreCommand(
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            calling_ae_title=event.assoc.remote["ae_title"],
        )
        incoming = self.begin(command, event.assoc)
        incoming.write(event.encoded_dataset(include_meta=False))
        status = incoming.finish()
        if status == SUCCESS:
            return SUCCESS.code
        ds = Dataset()
        ds.Status = status.code
        ds.ErrorComment = status.comment
        return ds

    def _before_release(self, event: Any) -> None:
        """Have what the association brought indexed before its release is answered: who sent it may ask for it then."""
        if isinstance(event.primitive, A_RELEASE) and event.primitive.result is None:
            self._wait_until_indexed(event.assoc)

    def _wait_until_indexed(self, association: Association) -> set[tuple[str, str]]:
        """Study and Series Instance UIDs of what the association brought, once it is indexed."""
        with self._lock:
            brought = dict(self._brought.get(association, {}))
        if brought:
            self._index.wait_for(max(brought.values(), key=attrgetter("number")), _INDEXED_WITHIN_S)
        return set(brought)

    def _end(self, event: Any) -> None:
        """Note the end of an association for each series that no open association has brought instances of.

        Only a release is the sender's word that it has sent what it had; one that was aborted or lost tells nothing.
        """
        ended = self._wait_until_indexed(event.assoc)
        with self._lock:
            self._brought.pop(event.assoc, None)
            still_open = {series for brought in self._brought.values() for series in brought}
        studies = sorted({study for study, _ in ended})
        finished = ended - still_open if event.event == evt.EVT_RELEASED else set()
        try:
            self._studies.association_ended(finished, self._clock())
        except Exception:  # the quiet period completes the studies all the same
            log.exception("association.end_not_noted", studies=studies)
            return
        log.info("association.ended", calling_ae_title=event.assoc.remote["ae_title"], how=event.event.name, studies=studies)


def _let_every_uid_through() -> None:
    """Have pynetdicom hand a request with a bad UID to the handler, which refuses it with a status.

    This is a switch of the whole process: pynetdicom checks UIDs before any handler runs, and a UID of 65 characters would
    end the association and lose the instances that follow. What it let through is checked when the instance is stored.
    """
    _config.VALIDATORS["UI"] = lambda _uid: (True, "")
