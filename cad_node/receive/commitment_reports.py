"""Looks at the disk for what peers asked for, and tells them: on the association of the request, else on a new one, until they know."""

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cad_node.commitment import Report
from cad_node.deliver.association import Peer
from cad_node.deliver.commitment import report_commitment
from cad_node.deliver.commitment_datasets import SOP_CLASS, SOP_INSTANCE, event_information
from cad_node.errors import CadNodeError
from cad_node.lifecycle import backoff_s
from cad_node.log import get_logger
from cad_node.poller import poll
from cad_node.receive.commitment import SUCCESS, Lines
from cad_node.receive.safekeeping import look_for
from cad_node.settings import Settings
from cad_node.store.commitments import ClaimedRequest, Commitments

log = get_logger()

_BATCH = 20  # requests claimed at once
_LEASE_S = 120  # a request that two processes work on is reported twice, which does no harm
_INDEXED_WITHIN_S = 5  # what came on the association of its request; its row follows the file
_LOOK_AGAIN_S = 1
_ANSWER_WAIT_S = 10  # for the response on the association of the request: who wants to end it doesn't answer any more
_PASSING = frozenset({0x0110, 0x0213})  # processing failure, resource limitation: PS3.7 C.5


class UnknownRequester(CadNodeError):
    """The request's association is over, and nobody has said where its requester listens."""


@dataclass(frozen=True, slots=True)
class Reporter:
    """Claims requests, looks, tells.

    requesters: where a new association goes to, by the AE title that the request came from.
    """

    settings: Settings
    commitments: Commitments
    lines: Lines
    requesters: Mapping[str, Peer]
    clock: Callable[[], datetime]
    rng: random.Random

    def run(self, stop: threading.Event) -> None:
        """Report until `stop` is set."""
        poll(self.report_due, self.settings.queue.poll_s, stop)

    def report_due(self) -> bool:
        """Report on one batch of what is due; False: there was nothing."""
        requests = self.commitments.claim(self.clock(), _LEASE_S, _BATCH, self.lines.newly_answered())
        away: dict[str, CadNodeError] = {}  # by AE title: the other requests of one who is away don't wait for it too
        for request in requests:
            try:
                self._report(request, away)
            except Exception:  # a loop over requests: this one is tried again after its lease, and keeps no other waiting
                log.exception("commitment.not_reported", **_named(request))
        return bool(requests)

    def _report(self, request: ClaimedRequest, away: dict[str, CadNodeError]) -> None:
        kept = look_for(request.references, self.commitments)
        if not kept.are_indexed and self._age(request) < timedelta(seconds=_INDEXED_WITHIN_S):
            self.commitments.release(request.id, self.clock() + timedelta(seconds=_LOOK_AGAIN_S))
            return
        report = Report(request.transaction_uid, kept.committed, kept.failed)
        try:
            status = self._tell(request, report, away)
        except UnknownRequester as exc:
            self._abandon(request, str(exc))
        except CadNodeError as exc:
            self._back_off(request, str(exc))
        else:
            self._settle(request, report, status)

    def _tell(self, request: ClaimedRequest, report: Report, away: dict[str, CadNodeError]) -> int:
        """The status that the requester answers. Raises UnknownRequester, PacsUnreachable, AssociationRejected, NotAnswered."""
        status = _tell_on(self.lines.take(request.id), report)
        if status is not None:
            return status
        ae_title = request.calling_ae_title
        if ae_title not in self.requesters:
            raise UnknownRequester(f"the association is over, and no [sources.NAME] or [destinations.NAME] has the AE title {ae_title}")
        if ae_title in away:
            raise away[ae_title]
        try:
            return report_commitment(self.requesters[ae_title], report)
        except CadNodeError as exc:
            away[ae_title] = exc
            raise

    def _settle(self, request: ClaimedRequest, report: Report, status: int) -> None:
        if status in _PASSING:
            self._back_off(request, f"the requester answers the report with 0x{status:04X}")
        elif status != SUCCESS:
            self._abandon(request, f"the requester answers the report with 0x{status:04X}")
        else:
            self.commitments.report(request.id, self.clock())
            log.info("commitment.reported", **_named(request), committed=len(report.committed), failed=len(report.failed))

    def _back_off(self, request: ClaimedRequest, reason: str) -> None:
        """Try again later, unless the requester has been away for too long."""
        if self._age(request) >= timedelta(seconds=self.settings.commitment.report_for_s):
            self._abandon(request, reason)
            return
        wait_s = backoff_s(request.attempt, self.settings.sender.backoff_first_s, self.settings.sender.backoff_longest_s, self.rng)
        self.commitments.back_off(request.id, reason, self.clock() + timedelta(seconds=wait_s))
        log.warning("commitment.backs_off", **_named(request), wait_s=round(wait_s), reason=reason)

    def _abandon(self, request: ClaimedRequest, reason: str) -> None:
        self.commitments.abandon(request.id, reason)
        log.error("commitment.abandoned", **_named(request), reason=reason)

    def _age(self, request: ClaimedRequest) -> timedelta:
        return self.clock() - request.requested_at


def _tell_on(association: Any, report: Report) -> int | None:
    """Report on the association of the request; the status that the requester answers, None if it doesn't."""
    if association is None:
        return None
    event_type_id, information = event_information(report)
    patience_s, association.dimse_timeout = association.dimse_timeout, _ANSWER_WAIT_S
    try:
        status, _ = association.send_n_event_report(information, event_type_id, SOP_CLASS, SOP_INSTANCE)
    except (RuntimeError, ValueError, OSError) as exc:  # pynetdicom's, where the association has just ended
        log.debug("commitment.line_lost", reason=str(exc))
        return None
    finally:
        association.dimse_timeout = patience_s
    return int(status.Status) if "Status" in status else None


def _named(request: ClaimedRequest) -> Mapping[str, str]:
    return {"calling_ae_title": request.calling_ae_title, "transaction": request.transaction_uid}
