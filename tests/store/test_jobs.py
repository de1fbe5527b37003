"""The job table: leases, fences, crashes, priorities, and what an admin does to it."""

from datetime import timedelta

import pytest
from sqlalchemy import event

from cad_node.errors import LeaseLost, UnknownRow
from cad_node.lifecycle import DeliveryState, IllegalMove, JobState
from cad_node.objects import Profile
from cad_node.store.database import Database
from cad_node.store.deliveries import Deliveries
from cad_node.store.jobs import ClaimedJob, Jobs
from cad_node.store.studies import Studies
from cad_node.store.tables import DeliveryRow
from tests.store.arrivals import LEASE_S, MODEL, NOW, after, claim, index, new_job, queue_jobs, received, refused_job, results, settle

MAX_CRASHES = 2
MAX_ATTEMPTS = 3
LEAVING = {
    "heartbeat": lambda jobs, job: jobs.heartbeat(job, NOW, LEASE_S),
    "finish": lambda jobs, job: jobs.finish(job, results(job), {"pacs": Profile(("seg", "sr"))}, NOW),
    "refuse": lambda jobs, job: jobs.refuse(job, "too-few-slices", "3 slices", NOW),
    "back_off": lambda jobs, job: jobs.back_off(job, "no memory", after(10), NOW),
    "fail": lambda jobs, job: jobs.fail(job, "no memory", NOW),
    "release": lambda jobs, job: jobs.release(job, NOW),
}


@pytest.fixture
def studies(database: Database) -> Studies:
    return Studies(database)


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


def state_of(jobs: Jobs, job: ClaimedJob) -> JobState:
    return jobs.show(job.id).summary.state


def test_a_claimed_job_carries_what_its_worker_needs(studies, jobs):
    queue_jobs(studies, 0)

    job = claim(jobs)

    summary = jobs.show(job.id).summary
    assert (job.study_instance_uid, job.revision, job.series_instance_uid) == ("1.2.1", 1, "1.2.3.1")
    assert (job.model_name, job.model_version) == MODEL
    assert (job.attempt, job.crashes, job.started_at, job.uid) == (1, 0, NOW, summary.uid)
    assert (summary.state, summary.worker) == (JobState.RUNNING, "worker")


def test_the_highest_priority_is_claimed_first_and_the_oldest_among_equals(studies, jobs):
    queue_jobs(studies, 0, 5, 0, 5)

    claimed = [claim(jobs).study_instance_uid for _ in range(4)]

    assert claimed == ["1.2.2", "1.2.4", "1.2.1", "1.2.3"]
    assert jobs.claim("worker", [MODEL], NOW, LEASE_S) is None


@pytest.mark.parametrize("models", [[], [("nodules", "2.0.0")], [("breast", "1.0.0")], [("nodules", "2.0.0"), ("breast", "1.0.0")]])
def test_a_worker_gets_no_job_of_a_model_it_does_not_run(studies, jobs, models):
    queue_jobs(studies, 0)

    job = jobs.claim("worker", models, NOW, LEASE_S)

    assert job is None


def test_a_job_that_backs_off_is_not_claimed_before_its_time(studies, jobs):
    queue_jobs(studies, 0)
    jobs.back_off(claim(jobs), "no memory", after(10), NOW)

    early = jobs.claim("worker", [MODEL], after(9), LEASE_S)
    due = claim(jobs, after(10))

    assert early is None
    assert due.attempt == 2


def test_started_at_is_the_first_claim_s_however_often_the_node_itself_tries_again(studies, jobs):
    queue_jobs(studies, 0)
    jobs.back_off(claim(jobs), "no memory", after(10), NOW)

    again = claim(jobs, after(10))

    assert again.started_at == NOW


def test_a_released_job_counts_no_attempt(studies, jobs):
    queue_jobs(studies, 0)
    jobs.release(claim(jobs), NOW)

    again = claim(jobs)

    assert again.attempt == 1


def test_a_heartbeat_keeps_the_lease(studies, jobs):
    queue_jobs(studies, 0)
    job = claim(jobs)

    jobs.heartbeat(job, after(50), LEASE_S)

    assert jobs.lose_expired(after(LEASE_S + 1), MAX_ATTEMPTS) == []
    assert jobs.lose_expired(after(50 + LEASE_S + 1), MAX_ATTEMPTS) == [job.id]


def test_an_expired_lease_queues_the_job_again(studies, jobs):
    queue_jobs(studies, 0)
    job = claim(jobs)

    lost = jobs.lose_expired(after(LEASE_S + 1), MAX_ATTEMPTS)

    assert lost == [job.id]
    again = claim(jobs, after(LEASE_S + 1), "another")
    assert (again.id, again.crashes, again.attempt) == (job.id, 0, 2)


def test_only_the_dead_worker_s_jobs_are_taken_back(studies, jobs):
    queue_jobs(studies, 0, 0)
    dead, alive = claim(jobs, worker="dead"), claim(jobs, worker="alive")

    lost = jobs.lose_worker("dead", NOW, MAX_CRASHES)

    assert lost == [dead.id]
    assert (state_of(jobs, dead), state_of(jobs, alive)) == (JobState.QUEUED, JobState.RUNNING)


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING.keys())
@pytest.mark.parametrize("taken_by", ["nobody yet", "another", "the admin"])
def test_a_late_move_of_a_lost_job_changes_nothing(database, studies, jobs, leave, taken_by):
    queue_jobs(studies, 0)
    job = claim(jobs)
    if taken_by == "the admin":
        jobs.cancel(job.id, NOW)
    else:
        jobs.lose_worker("worker", NOW, MAX_CRASHES)
    if taken_by == "another":
        claim(jobs, worker="another")
    before = jobs.show(job.id)

    with pytest.raises(LeaseLost, match=str(job.id)):
        leave(jobs, job)

    assert jobs.show(job.id) == before
    assert Deliveries(database).pending() == 0


def test_a_job_that_kills_its_worker_twice_is_quarantined(studies, jobs):
    queue_jobs(studies, 0)
    job = claim(jobs)
    jobs.lose_worker("worker", NOW, MAX_CRASHES)
    claim(jobs, worker="second")

    jobs.lose_worker("second", NOW, MAX_CRASHES)

    assert state_of(jobs, job) is JobState.QUARANTINED
    assert "second" in jobs.show(job.id).summary.reason
    assert jobs.claim("third", [MODEL], NOW, LEASE_S) is None


def test_leases_that_run_out_blame_no_job_for_a_crash_and_quarantine_it_only_after_its_last_attempt(studies, jobs):
    queue_jobs(studies, 0)
    for attempt in range(1, MAX_ATTEMPTS):
        claim(jobs, after(100 * attempt))
        jobs.lose_expired(after(100 * attempt + LEASE_S + 1), MAX_ATTEMPTS)
    before = jobs.list()[0]
    claim(jobs, after(1000), "the last")

    jobs.lose_expired(after(1000 + LEASE_S + 1), MAX_ATTEMPTS)

    (job,) = jobs.list()
    assert (before.state, before.crashes, before.reason) == (JobState.QUEUED, 0, "")
    assert (job.state, job.crashes, job.finished_at) == (JobState.QUARANTINED, 0, after(1000 + LEASE_S + 1))
    assert job.reason == "its lease ran out; it was begun 3 times, the last by the last"


def test_a_lease_that_ran_out_after_a_crash_does_not_count_as_the_second_crash(studies, jobs):
    queue_jobs(studies, 0)
    job = claim(jobs)
    jobs.lose_worker("worker", NOW, MAX_CRASHES)
    claim(jobs)

    jobs.lose_expired(after(LEASE_S + 1), MAX_ATTEMPTS)

    assert (state_of(jobs, job), jobs.show(job.id).summary.crashes) == (JobState.QUEUED, 1)


def test_a_job_that_lost_a_worker_is_left_out_where_suspects_are_not_wanted(studies, jobs):
    queue_jobs(studies, 9, 0)
    suspect = claim(jobs)
    jobs.lose_worker("worker", NOW, MAX_CRASHES)

    beside = jobs.claim("worker", [MODEL], NOW, LEASE_S, suspects=False)
    alone = jobs.claim("worker", [MODEL], NOW, LEASE_S)

    assert beside is not None
    assert alone is not None
    assert (beside.id != suspect.id, alone.id) == (True, suspect.id)


def test_finishing_writes_the_results_and_one_delivery_for_each_destination_that_wants_them(database, studies, jobs):
    queue_jobs(studies, 0)
    job = claim(jobs)

    jobs.finish(
        job,
        results(job),
        {"pacs": Profile(("seg", "sr")), "ris": Profile(("sr",)), "silent": Profile(())},
        after(3),
        timings_s={"infer": 1.5},
    )

    detail = jobs.show(job.id)
    assert detail.results == tuple(results(job))
    assert [(d.destination, d.sop_class_uid == results(job)[0].sop_class_uid, d.state) for d in detail.deliveries] == [
        ("pacs", True, DeliveryState.PENDING),
        ("pacs", False, DeliveryState.PENDING),
        ("ris", False, DeliveryState.PENDING),
    ]
    assert (detail.summary.state, detail.summary.finished_at, detail.summary.timings_s) == (JobState.DONE, after(3), {"infer": 1.5})
    assert Deliveries(database).pending() == 3


@pytest.mark.parametrize("table", ["jobs", "job_events", "results", "deliveries"])
def test_finishing_is_whole_or_not_at_all(database, studies, jobs, table):
    queue_jobs(studies, 0)
    job = claim(jobs)
    before = jobs.show(job.id)

    def break_down(connection, cursor, statement, *_):
        if statement.startswith((f"INSERT INTO {table} ", f"UPDATE {table} ")):
            raise OSError("the process is gone")

    event.listen(database.engine, "after_cursor_execute", break_down)
    with pytest.raises(OSError, match="gone"):
        jobs.finish(job, results(job), {"pacs": Profile(("seg", "sr"))}, NOW)
    event.remove(database.engine, "after_cursor_execute", break_down)

    assert jobs.show(job.id) == before
    jobs.finish(job, results(job), {"pacs": Profile(("seg", "sr"))}, NOW)
    assert (state_of(jobs, job), Deliveries(database).pending()) == (JobState.DONE, 2)


def test_a_refused_job_says_why(studies, jobs):
    queue_jobs(studies, 0)
    job = claim(jobs)

    jobs.refuse(job, "too-few-slices", "series 1.2.3.1: 3 slices, at least 20", after(1))

    summary = jobs.show(job.id).summary
    assert (summary.state, summary.reason_code) == (JobState.REFUSED, "too-few-slices")
    assert (summary.reason, summary.finished_at) == ("series 1.2.3.1: 3 slices, at least 20", after(1))


def test_a_queued_job_that_is_cancelled_is_not_claimed(studies, jobs):
    queue_jobs(studies, 0)
    (queued,) = jobs.list()

    jobs.cancel(queued.id, NOW)

    assert jobs.claim("worker", [MODEL], NOW, LEASE_S) is None
    assert jobs.show(queued.id).summary.state is JobState.CANCELLED


def test_a_retry_makes_a_quarantined_job_as_good_as_new(studies, jobs):
    queue_jobs(studies, 0)
    job = claim(jobs)
    jobs.lose_worker("worker", NOW, max_crashes=1)

    jobs.retry(job.id, after(100))

    summary = jobs.show(job.id).summary
    assert (summary.state, summary.attempt, summary.crashes, summary.reason) == (JobState.QUEUED, 0, 0, "")
    assert (summary.run_after, summary.started_at, summary.finished_at, summary.uid) == (after(100), None, None, job.uid)


def test_a_report_made_after_a_retry_is_not_dated_by_the_claim_of_days_ago(studies, jobs):
    queue_jobs(studies, 0)
    jobs.fail(claim(jobs), "no memory", NOW)
    jobs.retry(1, after(3 * 86_400))

    again = claim(jobs, after(3 * 86_400 + 5))

    assert again.started_at == after(3 * 86_400 + 5)


def test_a_job_that_was_born_refused_can_be_retried(studies, jobs):
    index(studies, received(), NOW)
    settle(studies, "1.2.3", refused_job())
    (refused,) = jobs.list(JobState.REFUSED)

    jobs.retry(refused.id, NOW)

    assert (claim(jobs).id, jobs.show(refused.id).summary.reason_code) == (refused.id, "")


def test_a_retry_of_a_job_in_back_off_makes_it_due_at_once_with_the_attempts_it_has_left(studies, jobs):
    queue_jobs(studies, 0)
    job = claim(jobs)
    jobs.back_off(job, "no memory", after(600), NOW)

    jobs.retry(job.id, after(5))

    events = jobs.show(job.id).events
    again = claim(jobs, after(5))
    assert (again.attempt, again.started_at) == (2, NOW)
    assert [(e.event, e.from_state, e.to_state, e.actor) for e in events][-1] == ("retry", "queued", "queued", "admin")


@pytest.mark.parametrize(
    ("state", "end"),
    [
        (JobState.REFUSED, lambda jobs, job: jobs.refuse(job, "too-few-slices", "3 slices", NOW)),
        (JobState.FAILED, lambda jobs, job: jobs.fail(job, "no memory", NOW)),
        (JobState.QUARANTINED, lambda jobs, job: jobs.lose_worker("worker", NOW, 1)),
        (JobState.CANCELLED, lambda jobs, job: jobs.cancel(job.id, NOW)),
        (JobState.QUEUED, lambda jobs, job: jobs.back_off(job, "no memory", after(600), NOW)),
    ],
)
def test_every_job_of_one_state_is_retried_at_once_and_no_other(studies, jobs, state, end):
    queue_jobs(studies, 0, 0, 0)
    ended = [claim(jobs), claim(jobs)]
    for job in ended:
        end(jobs, job)
    other = claim(jobs)

    retried = jobs.retry_all(state, after(1))

    assert retried == 2
    assert state_of(jobs, other) is JobState.RUNNING
    assert [claim(jobs, after(1)).id for _ in ended] == [job.id for job in ended]
    assert jobs.retry_all(state, after(1)) == 0


def test_retrying_every_cancelled_job_brings_back_none_that_a_later_revision_superseded(studies, jobs):
    queue_jobs(studies, 0, 0)
    index(studies, received(2, "1.2.1", series="1.2.3.1"), NOW)
    settle(studies, "1.2.1", new_job())
    for job in jobs.list(JobState.QUEUED):
        jobs.cancel(job.id, NOW)

    retried = jobs.retry_all(JobState.CANCELLED, NOW)

    assert retried == 2
    assert [(job.id, job.reason) for job in jobs.list(JobState.CANCELLED)] == [(1, "superseded by revision 2")]


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.DONE])
def test_retrying_every_running_or_finished_job_is_refused(jobs, state):
    with pytest.raises(IllegalMove, match=state):
        jobs.retry_all(state, NOW)


@pytest.mark.parametrize("steer", [lambda jobs, job: jobs.cancel(job.id, NOW), lambda jobs, job: jobs.retry(job.id, NOW)])
def test_a_finished_job_can_be_neither_cancelled_nor_run_again(studies, jobs, steer):
    queue_jobs(studies, 0)
    job = claim(jobs)
    jobs.finish(job, results(job), {}, NOW)

    with pytest.raises(IllegalMove, match="done"):
        steer(jobs, job)

    assert state_of(jobs, job) is JobState.DONE


def test_a_priority_moves_a_queued_job_forward_and_is_refused_on_any_other(studies, jobs):
    queue_jobs(studies, 0, 0)
    newer, _ = jobs.list()

    jobs.set_priority(newer.id, 1, NOW)

    assert claim(jobs).id == newer.id
    with pytest.raises(IllegalMove, match="running"):
        jobs.set_priority(newer.id, 2, NOW)


@pytest.mark.parametrize(
    "ask",
    [
        lambda jobs: jobs.show(7),
        lambda jobs: jobs.cancel(7, NOW),
        lambda jobs: jobs.retry(7, NOW),
        lambda jobs: jobs.set_priority(7, 1, NOW),
    ],
)
def test_an_unknown_job_is_named(jobs, ask):
    with pytest.raises(UnknownRow, match="no job 7"):
        ask(jobs)


def test_every_move_leaves_an_event(studies, jobs):
    queue_jobs(studies, 0)
    job = claim(jobs)
    jobs.back_off(job, "no memory", NOW, after(1))
    claim(jobs, after(2))
    jobs.lose_worker("worker", after(3), MAX_CRASHES)
    jobs.set_priority(job.id, 4, after(4))
    jobs.cancel(job.id, after(5))

    events = jobs.show(job.id).events

    assert [(e.event, e.from_state, e.to_state, e.actor) for e in events] == [
        ("claim", "queued", "running", "worker"),
        ("back_off", "running", "queued", "worker"),
        ("claim", "queued", "running", "worker"),
        ("lose", "running", "queued", "supervisor"),
        ("set_priority", "queued", "queued", "admin"),
        ("cancel", "queued", "cancelled", "admin"),
    ]
    assert [e.at for e in events] == [NOW + timedelta(seconds=s) for s in (0, 1, 2, 3, 4, 5)]
    assert events[1].detail == "no memory"


def test_jobs_are_counted_by_state_and_listed_newest_first(studies, jobs):
    queue_jobs(studies, 0, 0, 0)
    running = claim(jobs)

    counts = jobs.counts()

    assert (counts[JobState.QUEUED], counts[JobState.RUNNING], counts[JobState.DONE]) == (2, 1, 0)
    assert set(counts) == set(JobState)
    assert [job.id for job in jobs.list()] == sorted((job.id for job in jobs.list()), reverse=True)
    assert [job.id for job in jobs.list(JobState.RUNNING)] == [running.id]
    assert len(jobs.list(limit=2)) == 2


def test_a_listing_says_how_many_deliveries_of_each_job_have_arrived_in_one_query(database, studies, jobs):
    queue_jobs(studies, 0, 0, 0)
    for destinations in ({"pacs": Profile(("seg", "sr"))}, {"pacs": Profile(("sr",)), "ris": Profile(("sr",))}):
        job = claim(jobs)
        jobs.finish(job, results(job), destinations, NOW)
    deliveries = Deliveries(database)
    deliveries.deliver(deliveries.claim("pacs", "sender", NOW, LEASE_S, 1)[0], "0x0000 success", NOW)
    statements = []
    event.listen(database.engine, "before_cursor_execute", lambda _connection, _cursor, statement, *_: statements.append(statement))

    listed = jobs.list()

    assert [(job.delivered, job.deliveries) for job in reversed(listed)] == [(1, 2), (0, 2), (0, 0)]
    assert sum("SELECT" in statement for statement in statements) == 1


def test_no_delivery_row_exists_before_its_job_is_done(database, studies, jobs):
    queue_jobs(studies, 0)
    job = claim(jobs)

    jobs.fail(job, "no memory", NOW)

    with database.transaction() as session:
        assert session.query(DeliveryRow).count() == 0
