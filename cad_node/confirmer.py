"""Asks destinations whether they keep what they took: one thread for each that is to be asked."""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from pydicom.uid import generate_uid

from cad_node.confirmation import Answer, Confirmation
from cad_node.errors import CadNodeError
from cad_node.lifecycle import backoff_s
from cad_node.log import get_logger
from cad_node.poller import poll
from cad_node.settings import Settings
from cad_node.store.confirmations import Confirmations, Unconfirmed

log = get_logger()

Clock = Callable[[], datetime]

_BATCH = 100  # deliveries in one question
_LEASE_S = 600  # longer than asking takes


@dataclass(frozen=True, slots=True)
class Confirmer:
    """Claims what is unconfirmed, asks, and settles it by the answer.

    ways: how each destination is asked, by its name; of what others took there is nothing to ask.
    name: of this process, for the record.
    """

    settings: Settings
    confirmations: Confirmations
    ways: Mapping[str, Confirmation]
    clock: Clock
    rng: random.Random
    name: str

    def run(self, stop: threading.Event) -> None:
        """Ask until `stop` is set; a question that is on its way is waited for."""
        threads = [
            threading.Thread(target=self._serve, args=(destination, stop), name=f"confirm {destination}") for destination in self.ways
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def waive_the_rest(self) -> None:
        """Where a destination isn't asked any more, what still waited for its confirmation is delivered."""
        for destination in self.settings.destinations.keys() - self.ways.keys():
            count = self.confirmations.waive(destination, self.clock(), actor=self.name)
            if count:
                log.warning("confirmation.waived", destination=destination, deliveries=count, reason="its `confirm` is none")

    def confirm_due(self, destination: str) -> int:
        """Ask about one batch of what is due. Returns how many deliveries it was."""
        transaction_uid = str(generate_uid(prefix=None))
        claims = self.confirmations.claim(destination, transaction_uid, self.clock(), actor=self.name, lease_s=_LEASE_S, limit=_BATCH)
        if not claims:
            return 0
        try:
            answer = self.ways[destination].ask(transaction_uid, [claim.instance for claim in claims])
        except CadNodeError as exc:
            self._wait(destination, claims, str(exc))
        else:
            self._apply(destination, transaction_uid, claims, answer)
        return len(claims)

    def _serve(self, destination: str, stop: threading.Event) -> None:
        poll(lambda: self.confirm_due(destination) > 0, self.settings.queue.poll_s, stop)

    def _apply(self, destination: str, transaction_uid: str, claims: Sequence[Unconfirmed], answer: Answer) -> None:
        now = self.clock()
        timeout = timedelta(seconds=self.settings.asked_destinations[destination].confirm_timeout_s)
        rest = [claim for claim in claims if claim.instance.reference not in answer.committed | answer.failed.keys()]
        failed = dict(answer.failed)
        if answer.reports_later:
            self.confirmations.ask_again([claim.id for claim in rest], answer.reason, now + timeout)
        else:
            missing = [claim for claim in rest if now - claim.delivered_at >= timeout]
            failed |= {claim.instance.reference: answer.reason for claim in missing}
            self._wait(destination, [claim for claim in rest if claim not in missing], answer.reason)
        self.confirmations.settle(transaction_uid, answer.committed, failed, now, actor=self.name)
        log.info("confirmation.asked", destination=destination, committed=len(answer.committed), not_kept=len(failed), open=len(rest))

    def _wait(self, destination: str, claims: Sequence[Unconfirmed], reason: str) -> None:
        """Ask about these again, later each time."""
        sender = self.settings.sender
        for asks, group in groupby(sorted(claims, key=_asks), key=_asks):
            run_after = self.clock() + timedelta(seconds=backoff_s(asks, sender.backoff_first_s, sender.backoff_longest_s, self.rng))
            self.confirmations.ask_again([claim.id for claim in group], reason, run_after)
        if claims:
            log.warning("confirmation.waits", destination=destination, deliveries=len(claims), reason=reason)


def _asks(claim: Unconfirmed) -> int:
    return claim.asks
