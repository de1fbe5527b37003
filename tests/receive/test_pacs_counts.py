"""Instance counts of the PACS that sends: asked when a series is still, again when it's due, and never waited for."""

import gc
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt

from cad_node.query.association import QueryPeer
from cad_node.receive.evidence import StudyCounts
from cad_node.receive.pacs_counts import PacsCounts
from cad_node.settings import Completeness
from cad_node.store.study_values import Evidence, SeriesEvidence
from tests.deliver.peers import unused_port
from tests.e2e.orthanc import AE_TITLE, MISSING, Orthanc
from tests.e2e.ports import free_port
from tests.factory import altered, ct_study, save_study
from tests.query.archive import archive, peer_at
from tests.receive.front_door import wait_until

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
RULE = Completeness(count_s=2, count_again_s=15)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def evidence(study: str = "1.2", *series: str, calling_ae_title: str = "PACS", last_s: float = 0) -> Evidence:
    received = tuple(SeriesEvidence(uid, after(last_s), None, calling_ae_title) for uid in series or ("1.2.1",))
    return Evidence(study, 1, after(last_s), received)


def counts_of(peer: QueryPeer, at: float = 2) -> PacsCounts:
    """By a clock that stands."""
    return PacsCounts({"PACS": peer}, RULE, lambda: after(at))


def answer_of(counts: PacsCounts, told: Evidence, at: float = 2) -> StudyCounts:
    wait_until(lambda: counts.latest(told, after(at)) is not None)
    answer = counts.latest(told, after(at))
    assert answer is not None
    return answer


class Counting:
    """A C-FIND handler that counts as a PACS does, or doesn't."""

    def __init__(self, by_series: dict[str, object], of_study: object = None, *, fails: bool = False) -> None:
        self._by_series, self._of_study, self._fails = by_series, of_study, fails
        self.levels: list[str] = []  # of the requests
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        self.levels.append(event.identifier.QueryRetrieveLevel)
        self.may_answer.wait(10)
        if self._fails:
            yield 0xA700, None
            return
        if self.levels[-1] == "STUDY":
            yield 0xFF00, self._match(StudyInstanceUID=event.identifier.StudyInstanceUID, NumberOfStudyRelatedInstances=self._of_study)
            return
        for uid, number in self._by_series.items():
            yield 0xFF00, self._match(SeriesInstanceUID=uid, NumberOfSeriesRelatedInstances=number)

    def _match(self, **values: object) -> Dataset:
        ds = Dataset()
        for keyword, value in values.items():
            if value is not None:
                setattr(ds, keyword, value)
        return ds


def test_the_pacs_that_sends_is_asked_for_the_instances_of_each_series() -> None:
    counting = Counting({"1.2.1": 300, "1.2.2": 2})
    with archive((evt.EVT_C_FIND, counting)) as peer:
        answer = answer_of(counts_of(peer), evidence())

    assert (answer.asked_at, answer.by_series, answer.of_study) == (after(2), {"1.2.1": 300, "1.2.2": 2}, None)
    assert counting.levels == ["SERIES"]


@pytest.mark.parametrize("number", [None, 0], ids=["none", "nothing"])
def test_a_pacs_that_does_not_count_series_is_asked_for_the_study_as_a_whole(number: object) -> None:
    counting = Counting({"1.2.1": number}, of_study=300)
    with archive((evt.EVT_C_FIND, counting)) as peer:
        answer = answer_of(counts_of(peer), evidence())

    assert (answer.by_series, answer.of_study) == ({}, 300)


def test_a_pacs_that_counts_nothing_or_fails_is_no_evidence() -> None:
    for counting in (Counting({"1.2.1": None}), Counting({}, fails=True)):
        with archive((evt.EVT_C_FIND, counting)) as peer:
            answer = answer_of(counts_of(peer), evidence())

        assert (answer.by_series, answer.of_study) == ({}, None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom leaves the unconnected socket to the collector
def test_a_pacs_that_is_away_is_no_evidence_and_is_waited_for_by_nobody() -> None:
    counts = counts_of(replace(peer_at(unused_port()), timeout_s=1))

    at_once = counts.latest(evidence(), after(2))

    assert at_once is None
    assert answer_of(counts, evidence()) == StudyCounts(after(2))
    gc.collect()  # here, where its warning is expected


def test_another_sender_and_a_series_that_still_arrives_ask_nobody() -> None:
    counting = Counting({"1.2.1": 300})
    with archive((evt.EVT_C_FIND, counting)) as peer:
        counts = counts_of(peer)
        counts.latest(evidence(calling_ae_title="MODALITY"), after(100))
        counts.latest(evidence(last_s=1), after(2.9))

        answer = answer_of(counts, evidence("1.3"))

    assert answer.by_series == {"1.2.1": 300}
    assert counting.levels == ["SERIES"]


def test_it_is_asked_again_only_after_a_while_or_when_more_has_come_since() -> None:
    counting = Counting({"1.2.1": 300})
    with archive((evt.EVT_C_FIND, counting)) as peer:
        counts = counts_of(peer)
        answer_of(counts, evidence())
        for seconds in (3, 16):
            counts.latest(evidence(), after(seconds))
        unasked = len(counting.levels)

        counts.latest(evidence(last_s=5), after(7))
        wait_until(lambda: len(counting.levels) == 2)
        wait_until(lambda: not counts._busy)
        counts.latest(evidence(), after(17))
        wait_until(lambda: len(counting.levels) == 3)
        wait_until(lambda: not counts._busy)

    assert unasked == 1


def test_a_slow_pacs_is_asked_one_question_at_a_time() -> None:
    counting = Counting({"1.2.1": 300})
    counting.may_answer.clear()
    with archive((evt.EVT_C_FIND, counting)) as peer:
        counts = counts_of(peer)
        answers = [counts.latest(evidence(study), after(2)) for study in ("1.2", "1.3", "1.2")]
        wait_until(lambda: counting.levels)
        counting.may_answer.set()

        answer_of(counts, evidence("1.2"))
        asked = len(counting.levels)
        answer_of(counts, evidence("1.3"))

    assert answers == [None] * 3
    assert (asked, len(counting.levels)) == (1, 2)


@pytest.mark.skipif(bool(MISSING), reason=f"needs the Debian packages {MISSING}")
def test_orthanc_counts_the_instances_of_each_series(tmp_path: Path) -> None:
    study, dicom_port = ct_study(slices=3), free_port()
    other = altered(study[0], SeriesInstanceUID="1.2.9", SOPInstanceUID="1.2.9.1")
    other.file_meta.MediaStorageSOPInstanceUID = other.SOPInstanceUID

    with Orthanc(tmp_path, free_port(), dicom_port, free_port()) as orthanc:
        orthanc.upload(save_study([*study, other], tmp_path / "study"))
        answer = answer_of(counts_of(peer_at(dicom_port, AE_TITLE)), evidence(study[0].StudyInstanceUID))

    assert answer.by_series == {study[0].SeriesInstanceUID: 3, "1.2.9": 1}
