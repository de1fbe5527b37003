"""When a study has arrived as a whole, and the jobs it gets then."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cad_node.log import get_logger
from cad_node.manifest import Manifest
from cad_node.settings import Completeness
from cad_node.store.studies import Evidence, NewJob, Studies
from cad_node.study import Study

log = get_logger()

ASSOCIATION_END = "association end"
QUIET = "quiet"


def completed(evidence: Evidence, rule: Completeness, now: datetime) -> str:
    """Which evidence says that the study is complete; empty while none does."""
    ended_at = evidence.association_ended_at
    if ended_at is not None and now - ended_at >= timedelta(seconds=rule.association_end_s):
        return ASSOCIATION_END
    if now - evidence.last_instance_at >= timedelta(seconds=rule.quiet_s):
        return QUIET
    return ""


def settle_complete_studies(
    studies: Studies, manifests: Sequence[Manifest], rule: Completeness, now: datetime, priority: int = 0, *, tell_refusals: bool = False
) -> list[str]:
    """Settle each complete study into one job for each model. Returns their Study Instance UIDs.

    tell_refusals: a model that takes no series gets a job for the worker, who refuses it with a report; else it is refused at once.
    """
    settled = []
    for evidence in studies.receiving():
        fired = completed(evidence, rule, now)
        if fired and _settle(evidence, studies, manifests, now, priority, tell_refusals):
            log.info("study.settled", study=evidence.study_instance_uid, revision=evidence.revision, evidence=fired)
            settled.append(evidence.study_instance_uid)
    return settled


def _settle(  # noqa: PLR0917 - one value of each type
    evidence: Evidence, studies: Studies, manifests: Sequence[Manifest], now: datetime, priority: int, tell_refusals: bool
) -> bool:
    """Settle one study; False if an image came meanwhile, or if it can't be done now: another study's trouble stops none."""
    uid = evidence.study_instance_uid
    try:
        jobs = _jobs(studies.load(uid), manifests, priority, tell_refusals)
        return studies.settle(uid, evidence.revision, jobs, now, last_instance_at=evidence.last_instance_at)
    except Exception:  # a loop over studies: this one is tried again with the next call
        log.exception("study.not_settled", study=uid)
        return False


def _jobs(study: Study, manifests: Sequence[Manifest], priority: int, tell_refusals: bool) -> list[NewJob]:
    """One job for each model, refused ones too; none for a study that holds only results."""
    return [_job(study, manifest, priority, tell_refusals) for manifest in manifests] if study.series else []


def _job(study: Study, manifest: Manifest, priority: int, tell_refusals: bool) -> NewJob:
    series, refusal, sentence = manifest.choose(study)
    return NewJob(
        model_name=manifest.name,
        model_version=manifest.version,
        series_instance_uid=series.series_instance_uid if series else None,
        priority=priority,
        refusal_code=None if tell_refusals else refusal,
        refusal_sentence=sentence,
    )
