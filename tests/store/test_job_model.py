"""Random sequences of everything that can happen to jobs, on the real store, against a model of a few lines."""

from dataclasses import dataclass, field
from itertools import count, pairwise

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from cad_node.errors import LeaseLost
from cad_node.lifecycle import JOB_MOVES, IllegalMove, JobState
from cad_node.objects import Profile
from cad_node.store.database import Database
from cad_node.store.jobs import ClaimedJob, Jobs
from cad_node.store.studies import Studies
from tests.store.arrivals import LEASE_S, after, index, new_job, received, results, settle

MAX_CRASHES = 2
MAX_ATTEMPTS = 3
WORKERS = ("one", "two")
some = st.integers(0, 2)
_numbers = count(1)


@dataclass
class ModelJob:
    """What a job row should say."""

    id: int
    priority: int
    state: JobState = JobState.QUEUED
    attempt: int = 0
    crashes: int = 0
    due_s: float = 0
    lease_s: float = 0
    holder: ClaimedJob | None = None  # whose moves count
    worker: str = ""
    moves: list[str] = field(default_factory=list)

    def leave(self, event: str) -> None:
        self.state = JOB_MOVES[self.state, event]
        self.holder = None
        self.moves.append(event)


class JobMachine(RuleBasedStateMachine):
    """Three jobs, two workers, an admin, a supervisor, a clock."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.jobs, self.studies = Jobs(database), Studies(database)
        self.clock_s = 0.0
        self.claims: list[ClaimedJob] = []  # every one ever handed out, the stale ones too
        self.model: dict[int, ModelJob] = {}

    @initialize(priorities=st.tuples(some, some, some))
    def queue(self, priorities):
        study = f"1.2.{next(_numbers)}"
        index(self.studies, received(study=study), self.now)
        self.models = [(f"model-{number}", study) for number in range(3)]
        jobs = [new_job(model, priority) for model, priority in zip(self.models, priorities, strict=True)]
        settle(self.studies, study, *jobs, now=self.now)
        rows = sorted(self.jobs.list(limit=3), key=lambda row: row.id)
        self.model = {row.id: ModelJob(row.id, row.priority) for row in rows}

    @property
    def now(self):
        return after(self.clock_s)

    @rule(seconds=st.sampled_from([1, 30, 61]))
    def time_passes(self, seconds):
        self.clock_s += seconds

    @rule(worker=st.sampled_from(WORKERS), suspects=st.booleans())
    def claim(self, worker, suspects):
        claimed = self.jobs.claim(worker, self.models, self.now, LEASE_S, suspects=suspects)

        due = [j for j in self.model.values() if j.state is JobState.QUEUED and j.due_s <= self.clock_s and (suspects or not j.crashes)]
        expected = min(due, key=lambda j: (-j.priority, j.id), default=None)
        assert (claimed and claimed.id) == (expected and expected.id)
        if claimed and expected:
            expected.leave("claim")
            expected.attempt += 1
            expected.holder, expected.worker, expected.lease_s = claimed, worker, self.clock_s + LEASE_S
            self.claims.append(claimed)
            assert (claimed.attempt, claimed.crashes) == (expected.attempt, expected.crashes)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), event=st.sampled_from(["finish", "refuse", "back_off", "fail", "release", "heartbeat"]))
    def worker_moves(self, data, event):
        claim = data.draw(st.sampled_from(self.claims))
        job = self.model[claim.id]
        moves = {
            "finish": lambda: self.jobs.finish(claim, results(claim), {"pacs": Profile(("sr",))}, self.now),
            "refuse": lambda: self.jobs.refuse(claim, "code", "why", self.now),
            "back_off": lambda: self.jobs.back_off(claim, "why", after(self.clock_s + 10), self.now),
            "fail": lambda: self.jobs.fail(claim, "why", self.now),
            "release": lambda: self.jobs.release(claim, self.now),
            "heartbeat": lambda: self.jobs.heartbeat(claim, self.now, LEASE_S),
        }

        try:
            moves[event]()
        except LeaseLost:
            assert job.holder != claim
            return

        assert job.holder == claim
        if event == "heartbeat":
            job.lease_s = self.clock_s + LEASE_S
            return
        job.leave(event)
        job.attempt -= event == "release"
        if event == "back_off":
            job.due_s = self.clock_s + 10

    @rule(worker=st.sampled_from(WORKERS))
    def worker_dies(self, worker):
        lost = self.jobs.lose_worker(worker, self.now, MAX_CRASHES)

        expected = [job for job in self.model.values() if job.holder and job.worker == worker]
        for job in expected:
            job.crashes += 1
            self._lose(job, job.crashes >= MAX_CRASHES)
        assert sorted(lost) == sorted(job.id for job in expected)

    @rule()
    def leases_expire(self):
        lost = self.jobs.lose_expired(self.now, MAX_ATTEMPTS)

        expected = [job for job in self.model.values() if job.holder and job.lease_s < self.clock_s]
        for job in expected:
            self._lose(job, job.attempt >= MAX_ATTEMPTS)
        assert sorted(lost) == sorted(job.id for job in expected)

    @rule(data=st.data(), event=st.sampled_from(["cancel", "retry"]))
    def admin_moves(self, data, event):
        job = self.model[data.draw(st.sampled_from(sorted(self.model)))]
        steer = {"cancel": self.jobs.cancel, "retry": self.jobs.retry}

        try:
            steer[event](job.id, self.now)
        except IllegalMove:
            assert (job.state, event) not in JOB_MOVES
            return

        if event == "retry":
            job.due_s = self.clock_s
            if job.state is not JobState.QUEUED:
                job.attempt, job.crashes = 0, 0
        job.leave(event)

    @invariant()
    def rows_say_what_the_model_says(self):
        rows = {row.id: row for row in self.jobs.list(limit=len(self.model))} if self.model else {}
        said = {id_: (row.state, row.attempt, row.crashes, row.priority) for id_, row in rows.items()}
        assert said == {job.id: (job.state, job.attempt, job.crashes, job.priority) for job in self.model.values()}

    def teardown(self):
        for job in self.model.values():
            detail = self.jobs.show(job.id)
            assert [event.event for event in detail.events] == job.moves
            assert all(earlier.to_state == later.from_state for earlier, later in pairwise(detail.events))
            assert len(detail.deliveries) == (1 if job.state is JobState.DONE else 0)
            if job.holder:
                self.jobs.cancel(job.id, self.now)  # the next sequence's lost leases are its own

    def _lose(self, job: ModelJob, once_too_often: bool) -> None:
        job.due_s = self.clock_s
        job.leave("quarantine" if once_too_often else "lose")


def test_any_sequence_of_moves_leaves_the_rows_as_the_model_says(database):
    quick = settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))

    run_state_machine_as_test(lambda: JobMachine(database), settings=quick)
