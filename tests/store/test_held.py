"""What lies in the node's folders, by UID."""

from pathlib import Path

import pytest
from sqlalchemy import update

from cad_node.store.database import Database
from cad_node.store.held import Held
from cad_node.store.jobs import Jobs
from cad_node.store.studies import Studies
from cad_node.store.tables import ResultRow
from tests.store.arrivals import NOW, claim, index, new_job, received, results, settle

SEG, SR = "2.25.1.1", "2.25.1.2"


@pytest.fixture
def held(database: Database) -> Held:
    """Two studies of which the first has two instances and two results, the second one has one of each kind."""
    studies, jobs = Studies(database), Jobs(database)
    for number, study in enumerate(("1.2.1", "1.2.2"), 1):
        index(studies, received(study=study), NOW)
        settle(studies, study, new_job(series=f"{study}.1"))
        job = claim(jobs)
        jobs.finish(job, results(job)[: 3 - number], {}, NOW)
    index(studies, received(number=2, study="1.2.1", is_result=True), NOW)
    return Held(database)


def test_the_instances_of_a_study_are_all_that_was_received_of_it(held: Held):
    assert held.instances("1.2.1") == {"1.2.1.9.1", "1.2.1.9.2"}
    assert held.instances("1.2.9") == frozenset()


def test_results_come_by_study_and_series_with_where_they_lie(held: Held):
    found = held.results()

    assert [(one.study_instance_uid, one.series_instance_uid) for one in found] == [
        ("1.2.1", "2.25.1.3"),
        ("1.2.1", "2.25.1.4"),
        ("1.2.2", "2.25.2.3"),
    ]
    assert found[0].path.name == "seg.dcm"
    assert isinstance(found[0].path, Path)


@pytest.mark.parametrize(
    ("uids", "expected"),
    [
        ({"study_instance_uids": ["1.2.2", "1.2.9"]}, ["2.25.2.1"]),
        ({"study_instance_uids": ["1.2.1"], "series_instance_uids": ["2.25.1.4", "2.25.2.3"]}, [SR]),
        ({"sop_instance_uids": [SEG, "2.25.2.1"]}, [SEG, "2.25.2.1"]),
        ({"study_instance_uids": ["1.2.2"], "sop_instance_uids": [SEG]}, []),
    ],
)
def test_results_are_chosen_by_their_uids(held: Held, uids: dict[str, list[str]], expected: list[str]):
    assert [one.sop_instance_uid for one in held.results(**uids)] == expected


def test_a_result_whose_file_was_removed_is_not_there(held: Held, database: Database):
    with database.transaction() as session:
        session.execute(update(ResultRow).where(ResultRow.sop_instance_uid == SEG).values(removed_at=NOW))

    assert [one.sop_instance_uid for one in held.results(["1.2.1"])] == [SR]
