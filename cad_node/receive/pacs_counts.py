"""How many instances of a study its sender's PACS holds, asked by C-FIND beside the receiving; PS3.4 C.6.2.1."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pydicom.dataset import Dataset

from cad_node.errors import CadNodeError
from cad_node.log import get_logger
from cad_node.query.association import QueryPeer
from cad_node.query.find import find
from cad_node.receive.evidence import StudyCounts
from cad_node.settings import Completeness
from cad_node.store.study_values import Evidence

log = get_logger()

_ANSWER_WITHIN_S = 30.0  # a retrieve may be given longer
_FORGOTTEN_AFTER = timedelta(hours=1)
_OF_SERIES, _OF_STUDY = "NumberOfSeriesRelatedInstances", "NumberOfStudyRelatedInstances"


class PacsCounts:
    """The latest answers. A PACS that is away, refuses, or doesn't count is no evidence, and never trouble."""

    def __init__(self, peers: Mapping[str, QueryPeer], rule: Completeness, clock: Callable[[], datetime]) -> None:
        """peers: by the AE title that they call with when they send."""
        self._peers = {title: replace(peer, response_timeout_s=_ANSWER_WITHIN_S) for title, peer in peers.items()}
        self._rule, self._clock = rule, clock
        self._lock = threading.Lock()
        self._answers: dict[str, StudyCounts] = {}  # by Study Instance UID
        self._busy: set[str] = set()  # the peers that are being asked, one question at a time

    def latest(self, evidence: Evidence, now: datetime) -> StudyCounts | None:
        """What the PACS that sends a study said last, if anything. Has it asked again where that is due; waits for nothing."""
        with self._lock:
            answer = self._answers.get(evidence.study_instance_uid)
            titles = {one.calling_ae_title for one in evidence.series if self._is_due(one.last_instance_at, answer, now)}
            free = sorted((titles & self._peers.keys()) - self._busy)
            self._busy.update(free[:1])
        for title in free[:1]:
            threading.Thread(target=self._ask, args=(title, evidence.study_instance_uid), name="count", daemon=True).start()
        return answer

    def _is_due(self, last_instance_at: datetime, answer: StudyCounts | None, now: datetime) -> bool:
        still_at = last_instance_at + timedelta(seconds=self._rule.count_s)
        if now < still_at:
            return False
        return answer is None or answer.asked_at < still_at or now - answer.asked_at >= timedelta(seconds=self._rule.count_again_s)

    def _ask(self, title: str, study_instance_uid: str) -> None:
        answer = StudyCounts(self._clock())  # what comes in while the PACS counts isn't in its answer
        try:
            answer = _count(self._peers[title], study_instance_uid, answer.asked_at)
            log.debug("pacs.counted", pacs=title, study=study_instance_uid, series=len(answer.by_series))
        except CadNodeError as exc:
            log.info("pacs.not_counted", pacs=title, study=study_instance_uid, reason=str(exc))
        except Exception:
            log.exception("pacs.not_counted", pacs=title, study=study_instance_uid)
        with self._lock:
            self._answers = {uid: kept for uid, kept in self._answers.items() if answer.asked_at - kept.asked_at < _FORGOTTEN_AFTER}
            self._answers[study_instance_uid] = answer
            self._busy.discard(title)


def _count(peer: QueryPeer, study_instance_uid: str, asked_at: datetime) -> StudyCounts:
    """By series; where the PACS doesn't count those, of the study. Both are optional for it. Raises what find raises."""
    series = find(peer, "SERIES", {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": "", _OF_SERIES: ""})
    by_series = {str(ds.SeriesInstanceUID): number for ds in series if (number := _number(ds, _OF_SERIES)) and "SeriesInstanceUID" in ds}
    if len(by_series) == len(series):
        return StudyCounts(asked_at, by_series)
    return StudyCounts(asked_at, by_series, _of_study(find(peer, "STUDY", {"StudyInstanceUID": study_instance_uid, _OF_STUDY: ""})))


def _of_study(studies: Sequence[Dataset]) -> int | None:
    return _number(studies[0], _OF_STUDY) if len(studies) == 1 else None


def _number(ds: Dataset, keyword: str) -> int | None:
    try:
        return int(ds.get(keyword) or 0) or None
    except (TypeError, ValueError):  # not a number: as good as no answer
        return None
