"""Fetching by hand: what is asked for is found at a PACS, retrieved, and then looked for in the index."""

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from cad_node.app.audit import audited
from cad_node.app.start import Store, now
from cad_node.errors import CadNodeError
from cad_node.query.association import QueryPeer
from cad_node.query.holdings import StudyThere, instances_there, priors_there, requests, study_there
from cad_node.query.retrieve import Request, SubOperations, Watch, get, move
from cad_node.query.statuses import SUCCESS
from cad_node.receive.audited import Audited
from cad_node.receive.index_queue import IndexQueue
from cad_node.receive.instance import Intake
from cad_node.receive.presentation import contexts_to_get
from cad_node.receive.storage import Storage
from cad_node.settings import Settings, Source
from cad_node.store.held import Held
from cad_node.store.spool import Spool

Progress = Callable[[StudyThere, int, int], None]  # the study, how many instances have come, how many will
Retrieve = Callable[[Request, Collection[str], Watch], SubOperations]  # the SOP classes that may come; empty: not known

_LOOK_S = 0.2
_INDEXED_WITHIN_S = 5  # after the PACS says that it has sent all; as long as more come, longer


@dataclass(frozen=True, slots=True)
class Wanted:
    study_instance_uid: str
    series_instance_uids: tuple[str, ...] = ()  # empty: all
    only_missing: bool = False
    priors: int = 0


@dataclass(frozen=True, slots=True)
class Fetched:
    """What has become of one study."""

    study: StudyThere
    is_prior: bool
    there: int  # instances at the PACS, of the series wanted
    asked: int
    arrived: int  # of those asked for: they are in the index
    failed_uids: tuple[str, ...]  # SOP Instance UIDs that the PACS says it couldn't send
    trouble: str  # why not all have arrived, as far as it is known

    @property
    def is_complete(self) -> bool:
        return self.arrived == self.asked


def fetch(
    source: Source, settings: Settings, store: Store, wanted: Wanted, *, progress: Progress, stop: threading.Event
) -> Iterator[Fetched]:
    """The study, then its priors, newest first. Once `stop` is set, the retrieve is cancelled and nothing more is asked for.

    Raises what keeps it from knowing what there is to fetch: NotThere, PacsUnreachable, AssociationRejected, QueryFailed.
    """
    os.umask(0o077)  # of the process, as the node's own: what it writes holds patients' data
    with audited(settings, "fetch") as trail:
        watcher = Audited(trail)
        peer = QueryPeer.of(source, settings.node.ae_title, settings.sender.timeout_s, watcher.handlers())
        with _retriever(source, settings, store, peer, stop, watcher=watcher) as retrieve:
            yield from _fetched(peer, retrieve, store, wanted, progress=progress, stop=stop)


def _fetched(
    peer: QueryPeer, retrieve: Retrieve, store: Store, wanted: Wanted, *, progress: Progress, stop: threading.Event
) -> Iterator[Fetched]:
    fetcher = _Fetcher(peer, retrieve, Held(store.database), progress, stop)
    study = study_there(peer, wanted.study_instance_uid)
    priors = priors_there(peer, wanted.study_instance_uid, wanted.priors) if wanted.priors else []
    yield fetcher.fetch(study, wanted.series_instance_uids, only_missing=wanted.only_missing)
    for prior in priors:
        if not stop.is_set():
            yield fetcher.fetch(prior, only_missing=wanted.only_missing, is_prior=True)


@contextmanager
def _retriever(
    source: Source, settings: Settings, store: Store, peer: QueryPeer, stop: threading.Event, *, watcher: Audited
) -> Iterator[Retrieve]:
    if source.retrieve == "move":
        yield lambda request, _classes, watch: move(peer, request, settings.node.ae_title, watch, stop)
        return
    with closing(Spool(settings.spool_dir, settings.scp.min_free_mb)) as spool, IndexQueue(spool, store.studies) as index:
        handlers = Storage(Intake(spool, index, now), index, store.studies, now, watcher).handlers()
        yield lambda request, classes, watch: get(
            peer, request, storage=contexts_to_get(classes), handlers=handlers, watch=watch, stop=stop
        )


class _Fetcher:
    def __init__(self, peer: QueryPeer, retrieve: Retrieve, held: Held, progress: Progress, stop: threading.Event) -> None:
        self._peer, self._retrieve, self._held, self._progress, self._stop = peer, retrieve, held, progress, stop

    def fetch(self, study: StudyThere, series: Collection[str] = (), *, only_missing: bool = False, is_prior: bool = False) -> Fetched:
        uid = study.study_instance_uid
        there = instances_there(self._peer, uid, series)
        wanted = {instance.sop_instance_uid for instance in there}
        if only_missing:
            wanted -= self._held.instances(uid)
        classes = {instance.sop_class_uid for instance in there if instance.sop_instance_uid in wanted}
        outcome = self._retrieve_all(study, requests(uid, there, wanted, is_whole=not series), () if "" in classes else classes)
        arrived = self._await_arrival(uid, wanted, outcome)
        return Fetched(study, is_prior, len(there), len(wanted), arrived, outcome.failed_uids, outcome.trouble)

    def _retrieve_all(self, study: StudyThere, wanted: list[Request], classes: Collection[str]) -> "_Outcome":
        total = sum(request.instances for request in wanted)
        outcome = _Outcome(expected=0, failed_uids=(), trouble="")
        for request, before in zip(wanted, _running_sums(wanted), strict=True):
            if self._stop.is_set():
                return outcome.and_trouble("cancelled")
            try:
                count = self._retrieve(request, classes, _advance(self._progress, study, before, total))
            except CadNodeError as error:
                return outcome.and_trouble(str(error))
            outcome = outcome.and_count(request, count)
        return outcome

    def _await_arrival(self, study_instance_uid: str, wanted: Collection[str], outcome: "_Outcome") -> int:
        """How many of `wanted` are in the index; those that have come over the listener may take a moment to be there."""
        arrived, deadline = -1, 0.0
        while True:
            now_there = len(self._held.instances(study_instance_uid) & set(wanted))
            if now_there > arrived:
                arrived, deadline = now_there, time.monotonic() + _INDEXED_WITHIN_S
            if arrived >= outcome.expected or time.monotonic() > deadline:
                return arrived
            time.sleep(_LOOK_S)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Of all retrieves of a study."""

    expected: int  # instances that the PACS says it has sent
    failed_uids: tuple[str, ...]
    trouble: str

    def and_count(self, request: Request, count: SubOperations) -> "_Outcome":
        sent = request.instances if count.status == SUCCESS else count.completed + count.warning
        return _Outcome(self.expected + sent, self.failed_uids + count.failed_uids, self.trouble or count.trouble)

    def and_trouble(self, trouble: str) -> "_Outcome":
        return _Outcome(self.expected, self.failed_uids, self.trouble or trouble)


def _running_sums(wanted: list[Request]) -> list[int]:
    return [sum(request.instances for request in wanted[:index]) for index in range(len(wanted))]


def _advance(progress: Progress, study: StudyThere, before: int, total: int) -> Watch:
    return lambda count: progress(study, before + count.completed + count.warning + count.failed, total)
