"""retention show and run: what goes and why, what stays and why; looking changes nothing."""

import pytest

from cad_node.app.start import Store
from cad_node.cli.context import console
from cad_node.lifecycle import DeliveryState
from tests.cli.conftest import CadNode
from tests.cli.rows import T0, claim_delivery, finish_job


@pytest.fixture
def old(store: Store, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """The jobs of two old studies: the first's results are delivered, the second's aren't."""
    for key in ("INPUTS_DAYS", "RESULTS_DAYS"):
        monkeypatch.setenv(f"CAD_NODE_RETENTION__{key}", "1")
    first, second = finish_job(store, "pacs"), finish_job(store, "pacs")
    store.deliveries.deliver(claim_delivery(store, "pacs"), "", T0)
    return first, second


def test_show_tells_what_goes_and_what_stays_and_why(cad_node: CadNode, old: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(console, "width", 160)

    shown = cad_node("retention", "show")

    goes, stays = shown.out.split("Is old, but stays")
    assert shown.status == 0
    assert goes.count("older than 1 days") == 2
    assert stays.count("a delivery isn't done") == 2


def test_show_removes_nothing(cad_node: CadNode, store: Store, old: tuple[int, int]):
    first = cad_node("retention", "show", "--json").document
    second = cad_node("retention", "show", "--json").document

    assert first == second
    assert [(one["kind"], one["number"]) for one in first["goes"]] == [("inputs", None), ("results", old[0])]
    assert [(one["kind"], one["number"]) for one in first["stays"]] == [("inputs", None), ("results", old[1])]
    assert {study.removed_at for study in store.studies.list()} == {None}


def test_run_removes_what_show_shows(cad_node: CadNode, store: Store, old: tuple[int, int]):
    shown = cad_node("retention", "show", "--json").document["goes"]

    ran = cad_node("retention", "run", "--orphans", "--json").document

    assert ran == {"removed": shown, "orphans": 0}
    assert cad_node("retention", "show", "--json").document["goes"] == []
    assert len([study for study in store.studies.list() if study.removed_at]) == 1


def test_with_nothing_to_do_it_says_so(cad_node: CadNode, store: Store):
    assert "Goes now: nothing" in cad_node("retention", "show").out
    assert "Removed: nothing" in cad_node("retention", "run").out


def test_a_retry_of_a_job_without_images_says_what_to_do(cad_node: CadNode, store: Store, old: tuple[int, int]):
    store.deliveries.cancel(old[1], T0)
    cad_node("retention", "run")

    ended = cad_node("jobs", "retry", old[1])

    assert ended.status == 1
    assert "results were removed" in ended.err
    assert store.deliveries.list(old[1])[0].state == DeliveryState.CANCELLED
