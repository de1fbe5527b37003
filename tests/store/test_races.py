"""Several processes on one database, and processes that are killed in the middle."""

from itertools import chain
from pathlib import Path

import pytest

from cad_node.lifecycle import DeliveryState, JobState
from cad_node.objects import Profile
from cad_node.store.database import Database
from cad_node.store.deliveries import Deliveries
from cad_node.store.jobs import Jobs
from cad_node.store.studies import Studies
from tests.replaceable import queue_replaceable
from tests.store import children
from tests.store.arrivals import NOW, claim, queue_jobs, results
from tests.store.race import kill_when_it_reports, race

WORKERS = ("one", "two", "three")


def test_several_processes_claim_every_job_exactly_once(database: Database, database_url: str):
    queue_jobs(Studies(database), *[0] * 60)

    claimed = race(children.claim_everything, database_url, WORKERS)

    assert sorted(chain(*claimed)) == sorted(job.id for job in Jobs(database).list())


def test_several_processes_claim_every_delivery_exactly_once(database: Database, database_url: str):
    jobs = Jobs(database)
    queue_jobs(Studies(database), *[0] * 20)
    for _ in range(20):
        job = claim(jobs)
        jobs.finish(job, results(job), {"pacs": Profile(("seg", "sr"))}, NOW)

    claimed = race(children.claim_deliveries, database_url, WORKERS)

    assert sorted(chain(*claimed)) == sorted(delivery.id for delivery in Deliveries(database).list())


def test_objects_that_give_way_to_the_same_one_at_once_send_it_once(database: Database, database_url: str, tmp_path: Path):
    profiles = {"pacs": Profile(("seg", "rtstruct"))}
    job_id = queue_replaceable(database, tmp_path, profiles, "seg", "rtstruct", "gsps")

    instead = race(children.replace_a_delivery, database_url, ("one", "two"))

    assert instead == ["gsps", "gsps"]
    states = [row.state for row in Jobs(database).show(job_id).deliveries]
    assert states == [DeliveryState.REPLACED, DeliveryState.REPLACED, DeliveryState.PENDING]


def test_several_processes_that_index_one_study_make_one_row_of_each_instance(database: Database, database_url: str):
    new = race(children.index_instances, database_url, WORKERS)

    assert sorted(chain(*new)) == list(range(30))
    assert Studies(database).list()[0].instances == 30


@pytest.mark.parametrize("statement", ["UPDATE jobs", "INSERT INTO deliveries"])
def test_a_worker_killed_inside_its_commit_leaves_nothing_and_the_next_one_finishes(database: Database, database_url: str, statement: str):
    jobs = Jobs(database)
    queue_jobs(Studies(database), 0)

    job_id = kill_when_it_reports(children.finish_and_hang, database_url, statement)

    detail = jobs.show(job_id)
    assert (detail.summary.state, detail.results, detail.deliveries) == (JobState.RUNNING, (), ())
    assert jobs.lose_worker("victim", NOW, max_crashes=2) == [job_id]
    again = claim(jobs)
    jobs.finish(again, results(again), {"pacs": Profile(("seg", "sr"))}, NOW)
    assert (len(jobs.show(job_id).results), Deliveries(database).pending()) == (2, 2)
