"""studies analyse: the jobs it makes, and what it says of a study or a model that isn't there."""

from dataclasses import replace

import pytest

from cad_node.app.start import Store
from cad_node.lifecycle import JobState
from tests.cli.conftest import CadNode
from tests.cli.rows import T0
from tests.receive.models import stack
from tests.shipped_models import LUNG_NODULES
from tests.store.arrivals import index, received

STUDY = "1.2.3"


@pytest.fixture
def chest(store: Store) -> str:
    """A complete chest CT on which no model has run."""
    for image in stack("1.2.3.1", 30).instances:
        instance = replace(received(), sop_instance_uid=image.sop_instance_uid, path=image.path, header=image.header)
        index(store.studies, instance, T0)
    (evidence,) = store.studies.receiving()
    assert store.studies.settle(STUDY, 1, [], T0, last_instance_at=evidence.last_instance_at)
    return STUDY


def test_one_model_is_queued_and_its_job_s_number_is_printed(cad_node: CadNode, store: Store, chest: str):
    asked = cad_node("studies", "analyse", chest, "--model", "lung_nodule_ct")

    (job,) = store.jobs.list()
    assert (asked.status, asked.out) == (0, f"job {job.id}: lung_nodule_ct/{LUNG_NODULES.name} queued\n")
    assert (job.state, job.revision, job.series_instance_uid, job.evidence) == (JobState.QUEUED, 2, "1.2.3.1", "asked for")


def test_every_enabled_model_is_run_again_each_time_it_is_asked_for(cad_node: CadNode, store: Store, chest: str):
    first, second = (cad_node("studies", "analyse", chest, "--json").document for _ in range(2))

    assert {job["revision"] for job in first} == {2}
    assert {job["revision"] for job in second} == {3}
    assert [job["model_name"] for job in first] == [job["model_name"] for job in second]
    assert {job.state for job in store.jobs.list() if job.revision == 2} == {JobState.CANCELLED}


def test_a_model_that_is_not_enabled_is_named_with_those_that_are(cad_node: CadNode, store: Store, chest: str):
    asked = cad_node("studies", "analyse", chest, "--model", "lung_nodule_mr")

    assert asked.status == 1
    assert f"no enabled model lung_nodule_mr; enabled: lung_nodule_ct/{LUNG_NODULES.name}" in asked.err
    assert store.jobs.list() == []


def test_an_unknown_study_is_told_by_its_uid(cad_node: CadNode, chest: str):
    asked = cad_node("studies", "analyse", "1.2.9")

    assert (asked.status, "no study 1.2.9" in asked.err) == (1, True)
