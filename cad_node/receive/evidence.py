"""Whether a series has come as a whole, and a study: pieces of evidence, and how they are combined.

Of a series, the strongest first:

- MPPS completed: every image that the modality's completed steps list for it is here. It is whole at once.
- Instance count: its sender's PACS, asked when it had been still for `count_s`, holds as many images as have come. Whole at once.
- Association end: `association_end_s` have passed since the association that brought it ended, and nothing speaks against it:
  no list and no count names more than has come, and the headers show no hole. Geometry is only ever asked for such
  an objection. By itself it proves nothing, because a stack that lacks its last slices is as regular as a whole one.
- Quiet: nothing of it has come for `quiet_s`. The last resort, which asks nobody.

A study is settled when each of its series is whole and still, no step of it is in progress, and nothing is missing that a step
or a PACS announced; or when nothing at all has come for `quiet_s`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cad_node.lifecycle import StepState
from cad_node.receive.geometry import hole_in
from cad_node.settings import Completeness
from cad_node.store.study_values import Evidence, PerformedStep, SeriesEvidence
from cad_node.study import Series, Study

MPPS_COMPLETED = "MPPS completed"
INSTANCE_COUNT = "instance count"
ASSOCIATION_END = "association end"
QUIET = "quiet"
ASKED = "asked for"  # by an admin: no evidence of its own, the study was complete before


@dataclass(frozen=True, slots=True)
class StudyCounts:
    """What the sender's PACS says it holds of a study, PS3.4 C.6.2.1; what it doesn't say is no evidence."""

    asked_at: datetime
    by_series: Mapping[str, int] = field(default_factory=dict)  # Number of Series Related Instances
    of_study: int | None = None  # Number of Study Related Instances


News = frozenset[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a study's arrival at one moment."""

    whole: Mapping[str, str]  # Series Instance UID -> the evidence that the series is whole
    still: Collection[str]  # Series Instance UIDs of those whose sender has sent what it had, or nothing for long
    awaited: Mapping[str, int]  # Series Instance UID -> images announced in all, of those series that lack some
    settled: str  # the evidence that the study is; empty while there is none


def news(evidence: Evidence, counts: StudyCounts | None, rule: Completeness, now: datetime) -> News:
    """All that judge() goes by but for the headers: the same news, the same verdict. Empty: nothing can be whole yet."""
    listed, counted = _listed(evidence.steps), counts.by_series if counts else {}
    known: set[tuple[object, ...]] = set()
    for one in evidence.series:
        uid = one.series_instance_uid
        signs = (_has_ended(one, rule, now), _is_over(one.last_instance_at, rule.quiet_s, now), uid in listed, uid in counted)
        if any(signs) or (counts and counts.of_study):
            known.add((uid, one.last_instance_at, *signs))
    if known:
        known.add((counts.asked_at if counts else None, *((step.sop_instance_uid, step.state) for step in evidence.steps)))
    return frozenset(known)


def judge(study: Study, evidence: Evidence, counts: StudyCounts | None, rule: Completeness, now: datetime) -> Verdict:
    """Combine what is known, as this module's docstring says."""
    listed = _listed(evidence.steps)
    images = {series.series_instance_uid: len(series.instances) for series in study.series}
    awaited = {uid: number for uid, number in _announced(listed, counts).items() if number > images.get(uid, 0)}
    counted = _counted(study, evidence, counts, rule)
    whole = {}
    for one in evidence.series:
        uid = one.series_instance_uid
        series = next((series for series in study.series if series.series_instance_uid == uid), Series(uid, "", ()))
        if fired := _fired(series, one, listed.get(uid, frozenset()), uid in counted, uid in awaited, rule, now):
            whole[uid] = fired
    still = {one.series_instance_uid for one in evidence.series if _is_still(one, rule, now)}
    return Verdict(whole, still, awaited, _settled(evidence, whole.keys() & still, awaited, rule, now))


def _listed(steps: Sequence[PerformedStep]) -> dict[str, frozenset[str]]:
    """Series Instance UID -> SOP Instance UIDs that completed steps list."""
    listed: dict[str, frozenset[str]] = {}
    for step in steps:
        if step.state is StepState.COMPLETED:
            for uid, images in step.images.items():
                listed[uid] = listed.get(uid, frozenset()) | frozenset(images)
    return listed


def _announced(listed: Mapping[str, frozenset[str]], counts: StudyCounts | None) -> dict[str, int]:
    """Series Instance UID -> images that a step or a PACS says there are."""
    announced = {uid: len(images) for uid, images in listed.items()}
    for uid, number in (counts.by_series if counts else {}).items():
        announced[uid] = max(number, announced.get(uid, 0))
    return announced


def _counted(study: Study, evidence: Evidence, counts: StudyCounts | None, rule: Completeness) -> set[str]:
    """The series of which the PACS held as many images as have come, when they had been still for long enough."""
    if counts is None:
        return set()
    has_all = counts.of_study == sum(len(series.instances) for series in study.series)
    images = {series.series_instance_uid: len(series.instances) for series in study.series}
    return {
        one.series_instance_uid
        for one in evidence.series
        if _is_over(evidence.last_instance_at if has_all else one.last_instance_at, rule.count_s, counts.asked_at)
        and (has_all or counts.by_series.get(one.series_instance_uid) == images.get(one.series_instance_uid))
    }


def _fired(  # noqa: PLR0917 - each piece of evidence is one
    series: Series, one: SeriesEvidence, listed: frozenset[str], is_counted: bool, is_awaited: bool, rule: Completeness, now: datetime
) -> str:
    if listed and listed <= {instance.sop_instance_uid for instance in series.instances}:
        return MPPS_COMPLETED
    if is_counted and not is_awaited:
        return INSTANCE_COUNT
    if _has_ended(one, rule, now) and not is_awaited and not hole_in(series):
        return ASSOCIATION_END
    return QUIET if _is_over(one.last_instance_at, rule.quiet_s, now) else ""


def _settled(evidence: Evidence, finished: Collection[str], awaited: Collection[str], rule: Completeness, now: datetime) -> str:
    """finished, awaited: Series Instance UIDs."""
    if _is_over(evidence.last_instance_at, rule.quiet_s, now):
        return QUIET
    goes_on = any(step.state is StepState.IN_PROGRESS for step in evidence.steps)
    return ASSOCIATION_END if len(finished) == len(evidence.series) > 0 and not awaited and not goes_on else ""


def _is_still(one: SeriesEvidence, rule: Completeness, now: datetime) -> bool:
    return _has_ended(one, rule, now) or _is_over(one.last_instance_at, rule.quiet_s, now)


def _has_ended(one: SeriesEvidence, rule: Completeness, now: datetime) -> bool:
    return one.association_ended_at is not None and _is_over(one.association_ended_at, rule.association_end_s, now)


def _is_over(since: datetime, wait_s: float, now: datetime) -> bool:
    return now - since >= timedelta(seconds=wait_s)
