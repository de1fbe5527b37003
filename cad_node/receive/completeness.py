"""What has arrived becomes jobs: of each model as soon as the series that it takes is whole, of the others when the study is settled.

Nothing is silent: when a study is settled, each model has a job on it, or one that says why it was refused.
"""

from collections.abc import Callable, MutableMapping, Sequence
from datetime import datetime
from typing import NamedTuple

from cad_node.log import get_logger
from cad_node.manifest import Choice, Manifest
from cad_node.receive.evidence import ASKED, News, StudyCounts, Verdict, judge, news
from cad_node.settings import Completeness
from cad_node.store.studies import Evidence, NewJob, Studies
from cad_node.study import Series, Study

log = get_logger()


Counts = Callable[[Evidence, datetime], StudyCounts | None]


class Making(NamedTuple):
    """How jobs are made."""

    manifests: Sequence[Manifest]
    priority: int
    tell_refusals: bool


def settle_complete_studies(
    studies: Studies,
    manifests: Sequence[Manifest],
    rule: Completeness,
    now: datetime,
    priority: int = 0,
    *,
    tell_refusals: bool = False,
    counts: Counts = lambda _evidence, _now: None,
    seen: MutableMapping[str, News] | None = None,
) -> list[str]:
    """Start the models whose series are whole, and settle each complete study into one job for each model.

    tell_refusals: a model that takes no series gets a job for the worker, who refuses it with a report; else it is refused at once.
    counts: what a study's sender's PACS says it holds of it.
    seen: kept by the caller from one call to the next, so that a study without news isn't loaded again. By Study Instance UID.
    Returns the Study Instance UIDs of those settled.
    """
    making = Making(manifests, priority, tell_refusals)
    seen = {} if seen is None else seen
    before = dict(seen)
    seen.clear()
    settled = []
    for evidence in studies.receiving():
        uid, counted = evidence.study_instance_uid, counts(evidence, now)
        known = news(evidence, counted, rule, now)
        if not known or known == before.get(uid):
            seen[uid] = known
            continue
        try:
            if _proceed(evidence, counted, studies, making, rule, now):
                settled.append(uid)
            seen[uid] = known
        except Exception:  # a loop over studies: this one is tried again with the next call, and hinders no other
            log.exception("study.not_settled", study=uid)
    return settled


def analyse_again(
    studies: Studies, study_instance_uid: str, manifests: Sequence[Manifest], now: datetime, *, tell_refusals: bool = False
) -> tuple[int, ...]:
    """Run models on a complete study once more, as its next revision; the numbers of their jobs.

    tell_refusals: as above. Raises UnknownRow, Removed, StillArriving.
    """
    study, making = studies.load(study_instance_uid), Making(manifests, 0, tell_refusals)
    asked = Verdict(whole={}, still=(), awaited={}, settled=ASKED)
    jobs = [_job(manifest, manifest.choose(study), making, asked) for manifest in manifests]
    return studies.analyse(study_instance_uid, study.revision, jobs, now)


def _proceed(  # noqa: PLR0917 - one value of each type
    evidence: Evidence, counted: StudyCounts | None, studies: Studies, making: Making, rule: Completeness, now: datetime
) -> bool:
    """Start models on one study, or settle it; True: settled."""
    study = studies.load(evidence.study_instance_uid)
    verdict = judge(study, evidence, counted, rule, now)
    if verdict.settled:
        return _settle(study, evidence, verdict, studies, making, now)
    _start(study, evidence, verdict, studies, making, now)
    return False


def _settle(  # noqa: PLR0917 - one value of each type
    study: Study, evidence: Evidence, verdict: Verdict, studies: Studies, making: Making, now: datetime
) -> bool:
    """One job for each model, refused ones too; none for a study that holds only results. False if an image came meanwhile."""
    uid, revision = evidence.study_instance_uid, evidence.revision
    choices = [(manifest, manifest.choose(study)) for manifest in making.manifests] if study.series else []
    jobs = [_job(manifest, choice, making, verdict) for manifest, choice in choices]
    settled = studies.settle(uid, revision, jobs, now, last_instance_at=evidence.last_instance_at)
    if settled:
        log.info("study.settled", study=uid, revision=revision, evidence=verdict.settled)
    return settled


def _start(  # noqa: PLR0917 - one value of each type
    study: Study, evidence: Evidence, verdict: Verdict, studies: Studies, making: Making, now: datetime
) -> None:
    """A job for each model whose series is whole, if none that may still come would be taken instead."""
    choices = [(manifest, manifest.choose(study)) for manifest in making.manifests]
    jobs = [
        _job(manifest, choice, making, verdict)
        for manifest, choice in choices
        if choice.series and _is_final(choice.series, manifest, study, verdict)
    ]
    arrived = {one.series_instance_uid: one.last_instance_at for one in evidence.series}
    for job in studies.start(study.study_instance_uid, jobs, now, last_instance_at=arrived) if jobs else ():
        names = {"model": f"{job.model_name}/{job.model_version}", "series": job.series_instance_uid}
        log.info("model.started", study=study.study_instance_uid, evidence=job.evidence, **names)


def _is_final(chosen: Series, manifest: Manifest, study: Study, verdict: Verdict) -> bool:
    """Whether the chosen series is whole, and no other that isn't could turn out to be the better one.

    One that was announced and of which nothing has come is waited for only until the chosen one's sender has ended:
    it may never come, since a PACS may hold more of a study than it sends here.
    """
    if chosen.series_instance_uid not in verdict.whole:
        return False
    held = {series.series_instance_uid: series for series in study.series}
    unseen = set() if chosen.series_instance_uid in verdict.still else verdict.awaited.keys() - held.keys()
    arriving = held.keys() - verdict.whole.keys()
    return not any(_may_be_better(held.get(uid), verdict.awaited.get(uid), chosen, manifest) for uid in arriving | unseen)


def _may_be_better(other: Series | None, awaited: int | None, chosen: Series, manifest: Manifest) -> bool:
    """Whether Manifest.choose could prefer the other series once it is whole: as many images, or slices as thin.

    other: None if nothing of it has come. awaited: how many images it will have, if known.
    """
    if other is not None and manifest.refuses_kind(other):
        return False
    if awaited is not None:
        return awaited >= len(chosen.instances)
    assert other is not None, "a series is here or awaited"
    other_mm, chosen_mm = (series.header_value("SliceThickness") for series in (other, chosen))
    return other_mm is None or chosen_mm is None or other_mm <= chosen_mm


def _job(manifest: Manifest, choice: Choice, making: Making, verdict: Verdict) -> NewJob:
    uid = choice.series.series_instance_uid if choice.series else None
    return NewJob(
        model_name=manifest.name,
        model_version=manifest.version,
        series_instance_uid=uid,
        priority=making.priority,
        refusal_code=None if making.tell_refusals else choice.refusal,
        refusal_sentence=choice.sentence,
        evidence=verdict.whole.get(uid or "", verdict.settled),
    )
