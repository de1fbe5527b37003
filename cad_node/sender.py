"""The sending process: one thread per destination, so that a PACS that is down delays no other."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from pydicom.uid import UID

from cad_node.audit.trail import Remote, Trail
from cad_node.deliver.transport import Outcome, Transport
from cad_node.errors import LeaseLost
from cad_node.heart import Heart
from cad_node.lifecycle import backoff_s
from cad_node.log import get_logger
from cad_node.poller import poll
from cad_node.settings import Settings
from cad_node.store.deliveries import ClaimedDelivery, Deliveries
from cad_node.store.delivery_rows import Substitute

log = get_logger()

Clock = Callable[[], datetime]

_BATCH = 20  # deliveries claimed at once: they share an association
_NEVER = threading.Event()


@dataclass(frozen=True, slots=True)
class Sender:
    """Claims what is due, sends it, records each Outcome; built in app.py.

    transports: destination name -> how it is reached.
    name: of this process, as the supervisor knows it: it gives back what a dead sender held.
    trail: is told of what was sent.
    """

    settings: Settings
    deliveries: Deliveries
    transports: Mapping[str, Transport]
    clock: Clock
    rng: random.Random
    name: str
    trail: Trail | None = None

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set; then finish the present files and give back the rest."""
        threads = [
            threading.Thread(target=self._serve, args=(destination, stop), name=f"send {destination}") for destination in self.transports
        ]
        for thread in threads:
            thread.start()
        stop.wait()  # also where there is no destination: a process that ends is started again
        for thread in threads:
            thread.join()

    def _serve(self, destination: str, stop: threading.Event) -> None:
        poll(lambda: self.send_due(destination, stop) > 0, self.settings.queue.poll_s, stop)

    def send_due(self, destination: str, stop: threading.Event = _NEVER) -> int:
        """Send one batch of what is due for `destination`. Returns how many deliveries were claimed."""
        claims = self.deliveries.claim(destination, self.name, self.clock(), self.settings.queue.lease_s, _BATCH)
        if not claims:
            self.deliveries.lose_expired(self.clock())  # nobody else may be there to see a dead sender
        else:
            with self._heart(claims), closing(self.transports[destination].send([claim.path for claim in claims])) as outcomes:
                self._settle_each(destination, claims, outcomes, stop)
        return len(claims)

    def _settle_each(self, destination: str, claims: Sequence[ClaimedDelivery], outcomes: Iterator[Outcome], stop: threading.Event) -> None:
        answered: list[tuple[ClaimedDelivery, Outcome]] = []
        try:
            for index, claim in enumerate(claims):
                if stop.is_set():
                    for unsent in claims[index:]:
                        self._move(unsent, self._give_back)
                    return
                outcome = next(outcomes)
                answered.append((claim, outcome))
                self._move(claim, partial(self._settle, destination, outcome))
        finally:
            self._tell_trail(destination, answered)

    def _tell_trail(self, destination: str, answered: Sequence[tuple[ClaimedDelivery, Outcome]]) -> None:
        """Once for each study, and for each reason why some of it didn't arrive."""
        to = self.settings.destinations.get(destination)
        if not (self.trail and to):
            return
        sent: dict[tuple[str, str], Counter[str]] = {}
        for claim, outcome in answered:
            failure = "" if outcome.delivered else outcome.reason
            sent.setdefault((claim.study_instance_uid, failure), Counter())[claim.sop_class_uid] += 1
        for (study_instance_uid, failure), sop_classes in sent.items():
            self.trail.instances_sent(Remote(*to.address), study_instance_uid, sop_classes, failure)

    def _move(self, claim: ClaimedDelivery, settle: Callable[[ClaimedDelivery], None]) -> None:
        """A delivery that was taken away, or cancelled, is no longer ours to settle; the next one may be."""
        try:
            settle(claim)
        except LeaseLost as exc:
            log.warning("delivery.lost", delivery=claim.id, job=claim.job_id, reason=str(exc))

    def _settle(self, destination: str, outcome: Outcome, claim: ClaimedDelivery) -> None:
        now = self.clock()
        event = {"delivery": claim.id, "job": claim.job_id, "destination": destination, "attempt": claim.attempt, "reason": outcome.reason}
        if outcome.delivered:
            settle = self.deliveries.accept if self._is_to_be_confirmed(destination) else self.deliveries.deliver
            settle(claim, outcome.reason, now)
            log.info("delivery.done", **event)
        elif outcome.retryable:
            wait_s = self._wait_s(claim, outcome)
            self.deliveries.back_off(claim, outcome.reason, now + timedelta(seconds=wait_s), now)
            log.warning("delivery.backs_off", wait_s=round(wait_s), **event)
        elif outcome.unsupported:
            reason = f"{destination} takes no {UID(claim.sop_class_uid).name} ({outcome.reason})"
            instead = self.deliveries.replace(claim, self._substitutes(destination, claim), reason, now)
            if instead:
                log.warning("delivery.replaced", instead=instead, **event)
            else:
                log.error("delivery.failed", **event)
        else:
            self.deliveries.fail(claim, outcome.reason, now)
            log.error("delivery.failed", **event)

    def _wait_s(self, claim: ClaimedDelivery, outcome: Outcome) -> float:
        """Longer each time, and as long as the destination asks for, up to the longest."""
        longest_s = self.settings.sender.backoff_longest_s
        wait_s = backoff_s(claim.attempt, self.settings.sender.backoff_first_s, longest_s, self.rng)
        return max(wait_s, min(outcome.wait_s, longest_s))

    def _substitutes(self, destination: str, claim: ClaimedDelivery) -> list[Substitute]:
        to = self.settings.destinations.get(destination)
        return [Substitute(name, to.profile.edition(name)) for name in to.profile.substitutes(claim.builder)] if to else []

    def _is_to_be_confirmed(self, destination: str) -> bool:
        to = self.settings.asked_destinations.get(destination)
        return to is not None and to.confirm != "none"

    def _heart(self, claims: Sequence[ClaimedDelivery]) -> Heart[ClaimedDelivery]:
        lease_s = self.settings.queue.lease_s
        heart: Heart[ClaimedDelivery] = Heart(lambda claim: self.deliveries.heartbeat([claim], self.clock(), lease_s), lease_s)
        for claim in claims:
            heart.hold(claim)
        return heart

    def _give_back(self, claim: ClaimedDelivery) -> None:
        self.deliveries.release(claim, self.clock())
