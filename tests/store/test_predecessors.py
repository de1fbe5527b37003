"""Whose place a job's results take, and what becomes of what those were still to be sent."""

from dataclasses import replace
from pathlib import Path

import pytest

from cad_node.errors import LeaseLost
from cad_node.lifecycle import DeliveryState
from cad_node.objects import Profile
from cad_node.store.database import Database
from cad_node.store.deliveries import Deliveries
from cad_node.store.jobs import Jobs, NewResult
from cad_node.store.studies import Studies
from tests.store.arrivals import LEASE_S, NOW, SR, after, index, new_job, received, results, settle

V1, V2 = ("nodules", "1.0.0"), ("nodules", "2.0.0")
OTHER = ("breast", "1.0.0")
PROFILES = {"pacs": Profile(("seg", "sr", "rejection"))}


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


@pytest.fixture
def studies(database: Database) -> Studies:
    return Studies(database)


def revise(studies: Studies, number: int, *models: tuple[str, str], study: str = "1.2.3") -> None:
    """Revision `number` of the study, by one more image of its series; a job of each model."""
    index(studies, received(number, study), after(number))
    settle(studies, study, *(new_job(model, series=f"{study}.1") for model in models))


def claim(jobs: Jobs, model: tuple[str, str]):
    job = jobs.claim("worker", [model], after(60), LEASE_S)
    assert job is not None
    return job


def finish(jobs: Jobs, model: tuple[str, str], *more: NewResult) -> int:
    job = claim(jobs, model)
    jobs.finish(job, [*results(job), *more], PROFILES, after(61))
    return job.id


def superseded_by(jobs: Jobs, model: tuple[str, str]) -> set[str]:
    """Numbers of the jobs whose results the model's next one will take the place of."""
    return {one.result.sop_instance_uid.split(".")[2] for one in jobs.superseded(claim(jobs, model))}


def result(builder: str, job_id: int, *, fault: str = "") -> NewResult:
    return NewResult(builder, SR, f"2.25.{job_id}.{builder}", "2.25.9", Path(f"/results/{builder}.dcm"), "7" * 64, fault=fault)


def test_the_first_run_takes_nobody_s_place(studies, jobs):
    revise(studies, 1, V1)

    assert superseded_by(jobs, V1) == set()


def test_a_later_run_takes_the_place_of_the_last_one_that_ended_with_results(studies, jobs):
    for number in (1, 2, 3):
        revise(studies, number, V1)
        last = finish(jobs, V1)
    revise(studies, 4, V1)
    jobs.fail(claim(jobs, V1), "no memory", NOW)
    revise(studies, 5, V1)

    assert superseded_by(jobs, V1) == {str(last)}


def test_all_that_passed_the_checks_is_superseded_but_for_rejections_and_refusals(studies, jobs):
    revise(studies, 1, V1)
    finish(jobs, V1, result("rejection", 1), result("refusal", 1), result("sc", 1, fault="no pixels"), result("pdf", 1))
    revise(studies, 2, V1)

    job = claim(jobs, V1)

    assert [one.result.builder for one in jobs.superseded(job)] == ["seg", "sr", "pdf"]


def test_a_later_version_takes_the_place_of_the_earlier(studies, jobs):
    revise(studies, 1, V1)
    first = finish(jobs, V1)
    revise(studies, 2, V2)

    assert superseded_by(jobs, V2) == {str(first)}


def test_versions_that_run_side_by_side_supersede_each_their_own(studies, jobs):
    revise(studies, 1, V1, V2)
    first = {model: finish(jobs, model) for model in (V1, V2)}
    revise(studies, 2, V1, V2)

    assert superseded_by(jobs, V1) == {str(first[V1])}
    assert superseded_by(jobs, V2) == {str(first[V2])}


def test_a_version_that_comes_back_takes_the_place_of_the_one_that_ran_last(studies, jobs):
    for number, model in enumerate((V1, V2), 1):
        revise(studies, number, model)
        last = finish(jobs, model)
    revise(studies, 3, V1)

    assert superseded_by(jobs, V1) == {str(last)}


@pytest.mark.parametrize(("study", "model"), [("1.2.4", V1), ("1.2.3", OTHER)], ids=["another study", "another model"])
def test_nothing_else_is_superseded(studies, jobs, study, model):
    revise(studies, 1, V1)
    finish(jobs, V1)
    revise(studies, 2, model, study=study)

    assert superseded_by(jobs, model) == set()


def test_a_repeated_attempt_takes_the_same_place(studies, jobs):
    revise(studies, 1, V1)
    finish(jobs, V1)
    revise(studies, 2, V1)
    job = claim(jobs, V1)
    first = jobs.superseded(job)
    jobs.back_off(job, "no memory", after(62), after(62))

    again = jobs.claim("worker", [V1], after(63), LEASE_S)

    assert jobs.superseded(again) == first != ()


def test_a_job_waits_for_the_one_whose_place_it_will_take(studies, jobs):
    revise(studies, 1, V1)
    running = claim(jobs, V1)
    revise(studies, 2, V1, OTHER)

    assert jobs.claim("another", [V1], after(60), LEASE_S) is None
    assert jobs.claim("another", [V1, OTHER], after(60), LEASE_S).model_name == OTHER[0]
    jobs.finish(running, results(running), {}, after(61))
    assert superseded_by(jobs, V1) == {str(running.id)}


def test_what_waits_of_the_superseded_results_is_cancelled_with_a_reason(studies, jobs):
    revise(studies, 1, V1)
    first = finish(jobs, V1, result("rejection", 1))
    revise(studies, 2, V1)

    second = finish(jobs, V1)

    detail = jobs.show(first)
    assert [(one.sop_instance_uid, one.state) for one in detail.deliveries] == [
        (f"2.25.{first}.1", DeliveryState.CANCELLED),
        (f"2.25.{first}.2", DeliveryState.CANCELLED),
        ("2.25.1.rejection", DeliveryState.PENDING),  # what it rejected is to go all the same
    ]
    assert {one.reason for one in detail.deliveries[:2]} == {f"superseded by job {second}"}
    assert [(e.event, e.actor, e.detail) for e in detail.events[-2:]] == [("cancel", "supervisor", f"superseded by job {second}")] * 2
    assert {one.state for one in jobs.show(second).deliveries} == {DeliveryState.PENDING}


def test_what_was_sent_or_is_being_sent_stays_as_it_is(studies, jobs, database):
    deliveries = Deliveries(database)
    revise(studies, 1, V1)
    first = finish(jobs, V1)
    sent, _ = deliveries.claim("pacs", "sender", after(62), LEASE_S, 2)
    deliveries.deliver(sent, "", after(63))
    revise(studies, 2, V1)

    finish(jobs, V1)

    assert [one.state for one in jobs.show(first).deliveries] == [DeliveryState.DELIVERED, DeliveryState.SENDING]


def test_who_has_the_superseded_results_is_known(studies, jobs, database):
    deliveries = Deliveries(database)
    revise(studies, 1, V1)
    finish(jobs, V1, result("pdf", 1))
    sent, _ = deliveries.claim("pacs", "sender", after(62), LEASE_S, 2)
    deliveries.deliver(sent, "", after(63))
    revise(studies, 2, V1)

    superseded = jobs.superseded(claim(jobs, V1))

    assert {one.result.builder: one.destinations for one in superseded} == {"seg": {"pacs"}, "sr": {"pacs"}, "pdf": set()}


def test_results_whose_place_is_about_to_be_taken_wait_until_that_is_certain(studies, jobs, database):
    deliveries = Deliveries(database)
    revise(studies, 1, V1)
    first = finish(jobs, V1)
    revise(studies, 2, V1)
    job = claim(jobs, V1)
    jobs.superseded(job)

    while_it_runs = deliveries.claim("pacs", "sender", after(62), LEASE_S, 10)
    jobs.fail(job, "no memory", after(63))
    afterwards = deliveries.claim("pacs", "sender", after(64), LEASE_S, 10)

    assert (while_it_runs, [one.job_id for one in afterwards]) == ([], [first, first])


def test_what_was_being_sent_and_comes_back_unsent_is_cancelled_when_it_is_due_again(studies, jobs, database):
    deliveries = Deliveries(database)
    revise(studies, 1, V1)
    first = finish(jobs, V1)
    unsent, _ = deliveries.claim("pacs", "sender", after(62), LEASE_S, 2)
    revise(studies, 2, V1)
    second = finish(jobs, V1)
    deliveries.back_off(unsent, "no PACS", after(65), after(64))

    due = deliveries.claim("pacs", "sender", after(70), LEASE_S, 10)

    assert {one.job_id for one in due} == {second}
    assert [one.state for one in jobs.show(first).deliveries] == [DeliveryState.CANCELLED, DeliveryState.SENDING]


def test_what_failed_of_the_superseded_results_is_not_sent_again_with_all_that_failed(studies, jobs, database):
    deliveries = Deliveries(database)
    revise(studies, 1, V1)
    first = finish(jobs, V1)
    for claimed in deliveries.claim("pacs", "sender", after(62), LEASE_S, 2):
        deliveries.fail(claimed, "0xC000 can't understand", after(63))
    revise(studies, 2, V1)

    second = finish(jobs, V1)

    assert deliveries.retry_all(after(64)) == 0
    detail = jobs.show(first)
    assert {(one.state, one.reason) for one in detail.deliveries} == {(DeliveryState.CANCELLED, f"superseded by job {second}")}
    assert {one.from_state for one in detail.events[-2:]} == {DeliveryState.FAILED}


def test_what_a_run_with_something_held_back_left_standing_falls_to_the_next_also_where_nobody_wants_rejections(studies, jobs):
    revise(studies, 1, V1)
    first = finish(jobs, V1)
    revise(studies, 2, V1)
    second = finish(jobs, V1, result("sc", 2, fault="no pixels"))
    waiting = {one.state for one in jobs.show(first).deliveries}
    revise(studies, 3, V1)

    finish(jobs, V1)

    assert waiting == {DeliveryState.PENDING}
    assert {one.state for number in (first, second) for one in jobs.show(number).deliveries} == {DeliveryState.CANCELLED}


def test_a_run_that_is_refused_leaves_the_earlier_results_as_they_are(studies, jobs):
    revise(studies, 1, V1)
    first = finish(jobs, V1)
    revise(studies, 2, V1)

    jobs.refuse(claim(jobs, V1), "too-few-slices", "3 slices", NOW)

    assert {one.state for one in jobs.show(first).deliveries} == {DeliveryState.PENDING}


def test_a_job_that_was_lost_supersedes_nothing(studies, jobs):
    revise(studies, 1, V1)
    first = finish(jobs, V1)
    revise(studies, 2, V1)
    job = claim(jobs, V1)
    stale = replace(job, fence=job.fence - 1)

    with pytest.raises(LeaseLost):
        jobs.finish(stale, results(job), PROFILES, NOW)

    assert {one.state for one in jobs.show(first).deliveries} == {DeliveryState.PENDING}
