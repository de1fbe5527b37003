"""How pieces of evidence are combined, over all their combinations."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cad_node.lifecycle import StepState
from cad_node.receive.evidence import (
    ASSOCIATION_END,
    INSTANCE_COUNT,
    MPPS_COMPLETED,
    QUIET,
    StudyCounts,
    Verdict,
    judge,
    news,
)
from cad_node.settings import Completeness
from cad_node.store.study_values import Evidence, PerformedStep, SeriesEvidence
from cad_node.study import Series, Study
from tests.receive.models import stack

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
RULE = Completeness(quiet_s=60, association_end_s=5, count_s=2)
EXAMPLES = settings(max_examples=250, deadline=None, derandomize=True)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one series: seconds are before NOON."""

    held: int  # images that have come
    has_gap: bool
    since_last_s: float
    since_end_s: float | None
    listed: int  # images in a performed procedure step; 0: none lists the series
    step: StepState
    counted: int | None
    since_count_s: float

    def series(self, uid: str) -> Series:
        return stack(uid, slices=self.held, without=(1,) if self.has_gap else ())

    def evidence(self, uid: str) -> SeriesEvidence:
        return SeriesEvidence(uid, ago(self.since_last_s), None if self.since_end_s is None else ago(self.since_end_s), "PACS")


def ago(seconds: float) -> datetime:
    return NOON - timedelta(seconds=seconds)


waits = st.sampled_from([0.0, 1.9, 2.0, 4.9, 5.0, 30.0, 59.9, 60.0, 1000.0])


@st.composite
def known(draw: st.DrawFn) -> Known:
    since_last_s, held = draw(waits), draw(st.integers(3, 6))
    return Known(
        held=held,
        has_gap=draw(st.booleans()),
        since_last_s=since_last_s,
        since_end_s=draw(st.none() | waits.filter(lambda s: s <= since_last_s)),
        listed=draw(st.sampled_from([0, held - 1, held, held + 1])),
        step=draw(st.sampled_from(StepState)),
        counted=draw(st.sampled_from([None, held - 1, held, held + 1])),
        since_count_s=draw(waits),
    )


def situation(*known_of_series: Known) -> tuple[Study, Evidence, StudyCounts]:
    """A study whose series are called 1, 2, …; the newest count stands for all."""
    named = {str(number): known for number, known in enumerate(known_of_series, 1)}
    study = Study("9", 1, tuple(known.series(uid) for uid, known in named.items()))
    steps = tuple(_step(uid, known) for uid, known in named.items() if known.listed)
    last = ago(min(known.since_last_s for known in known_of_series))
    evidence = Evidence("9", 1, last, tuple(known.evidence(uid) for uid, known in named.items()), steps)
    counts = {uid: known.counted for uid, known in named.items() if known.counted is not None}
    return study, evidence, StudyCounts(ago(min(known.since_count_s for known in known_of_series)), counts)


def _step(uid: str, known: Known) -> PerformedStep:
    """Of a series without gap the images that have come, and beyond; of one with a gap also what is missing in it."""
    made = stack(uid, slices=8).instances[: known.listed]
    return PerformedStep(f"step {uid}", known.step, {uid: [instance.sop_instance_uid for instance in made]})


def verdict_on(*known_of_series: Known, now: datetime = NOON) -> Verdict:
    study, evidence, counts = situation(*known_of_series)
    return judge(study, evidence, counts, RULE, now)


@EXAMPLES
@given(known())
def test_a_series_is_whole_by_the_strongest_evidence_there_is(one: Known) -> None:
    images = {instance.sop_instance_uid for instance in one.series("1").instances}
    list_of_step = set(_step("1", one).images["1"]) if one.step is StepState.COMPLETED else set()
    announced = max(len(list_of_step), one.counted or 0)

    whole = verdict_on(one).whole.get("1")

    possible = {
        MPPS_COMPLETED: bool(list_of_step) and list_of_step <= images,
        INSTANCE_COUNT: one.counted == len(images) >= announced and one.since_last_s - one.since_count_s >= RULE.count_s,
        ASSOCIATION_END: one.since_end_s is not None and one.since_end_s >= 5 and not one.has_gap and announced <= len(images),
        QUIET: one.since_last_s >= 60,
    }
    assert whole == next((label for label, fires in possible.items() if fires), None)


@EXAMPLES
@given(known(), known())
def test_one_series_is_judged_without_regard_to_the_other(one: Known, other: Known) -> None:
    other = replace(other, since_count_s=one.since_count_s)

    together, alone = verdict_on(one, other), verdict_on(one)

    assert together.whole.get("1") == alone.whole.get("1")


@EXAMPLES
@given(known(), known())
def test_a_study_is_settled_only_when_each_of_its_series_is_whole(one: Known, other: Known) -> None:
    verdict = verdict_on(one, other)

    assert not verdict.settled or verdict.whole.keys() == {"1", "2"}


@EXAMPLES
@given(known())
@example(Known(3, False, 30, 30, 3, StepState.IN_PROGRESS, None, 0))
def test_a_study_is_settled_by_the_end_of_associations_unless_a_step_goes_on_or_images_are_missing(one: Known) -> None:
    verdict = verdict_on(one)

    goes_on = one.listed and one.step is StepState.IN_PROGRESS
    is_still = one.since_end_s is not None and one.since_end_s >= RULE.association_end_s
    is_ended = is_still and bool(verdict.whole) and not goes_on and not verdict.awaited
    assert verdict.settled == (QUIET if one.since_last_s >= RULE.quiet_s else ASSOCIATION_END if is_ended else "")


@EXAMPLES
@given(known(), known())
def test_nothing_keeps_a_quiet_study_open(one: Known, other: Known) -> None:
    verdict = verdict_on(one, other, now=NOON + timedelta(seconds=60))

    assert verdict.settled == QUIET
    assert verdict.whole.keys() == {"1", "2"}


@EXAMPLES
@given(known(), known(), st.lists(waits, max_size=4))
def test_what_is_whole_stays_so_while_nothing_comes(one: Known, other: Known, later_s: list[float]) -> None:
    verdicts = [verdict_on(one, other, now=NOON + timedelta(seconds=seconds)) for seconds in sorted(later_s)]

    for earlier, later in pairwise(verdicts):
        assert earlier.whole.keys() <= later.whole.keys()
        assert bool(earlier.settled) <= bool(later.settled)


@EXAMPLES
@given(known(), known())
def test_without_news_nothing_is_whole(one: Known, other: Known) -> None:
    study, evidence, counts = situation(one, other)

    verdict = judge(study, evidence, counts, RULE, NOON)

    assert news(evidence, counts, RULE, NOON) or not (verdict.whole or verdict.settled)


@EXAMPLES
@given(known(), known(), waits)
def test_the_same_news_mean_the_same_verdict(one: Known, other: Known, later_s: float) -> None:
    study, evidence, counts = situation(one, other)
    later = NOON + timedelta(seconds=later_s)

    is_the_same = news(evidence, counts, RULE, NOON) == news(evidence, counts, RULE, later)

    verdicts = [judge(study, evidence, counts, RULE, now) for now in (NOON, later)]
    assert not is_the_same or verdicts[0] == verdicts[1]


@EXAMPLES
@given(known(), known())
@example(Known(3, False, 30, None, 0, StepState.COMPLETED, None, 5), Known(3, False, 4.9, None, 0, StepState.COMPLETED, None, 5))
def test_a_count_of_the_whole_study_speaks_for_each_series_once_the_study_is_still(one: Known, other: Known) -> None:
    one, other = (replace(known, listed=0, counted=None) for known in (one, other))
    study, evidence, counts = situation(one, other)
    images = sum(len(series.instances) for series in study.series)

    equal = judge(study, evidence, replace(counts, of_study=images), RULE, NOON)
    more = judge(study, evidence, replace(counts, of_study=images + 1), RULE, NOON)

    in_time = min(one.since_last_s, other.since_last_s) - min(one.since_count_s, other.since_count_s) >= RULE.count_s
    assert (set(equal.whole.values()) == {INSTANCE_COUNT}) is in_time
    assert INSTANCE_COUNT not in more.whole.values()


def test_a_series_that_is_announced_and_not_here_keeps_its_study_open() -> None:
    one = Known(3, False, 30, 30, 0, StepState.COMPLETED, None, 0)
    study, evidence, counts = situation(one)

    verdict = judge(study, evidence, replace(counts, by_series={"1": 3, "2": 300}), RULE, NOON)

    assert (verdict.settled, verdict.awaited) == ("", {"2": 300})
