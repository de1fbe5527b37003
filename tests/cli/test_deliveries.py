"""deliveries: the outbox as an admin reads and steers it."""

from pathlib import Path

from cad_node.app.start import Store
from cad_node.lifecycle import DeliveryState
from cad_node.objects import Profile
from cad_node.store.delivery_rows import Substitute
from tests.cli.conftest import CadNode
from tests.cli.rows import T0, claim_delivery, finish_job
from tests.replaceable import queue_replaceable
from tests.store.arrivals import NOW

REFUSED = "0xA900 dataset doesn't match SOP class"


def fail_delivery(store: Store, destination: str) -> int:
    job_id = finish_job(store, destination)
    store.deliveries.fail(claim_delivery(store, destination), REFUSED, T0)
    return job_id


def test_the_list_can_be_of_one_state_and_says_why(cad_node: CadNode, store: Store):
    fail_delivery(store, "pacs")
    finish_job(store, "archive")

    listed = cad_node("deliveries", "list", "--state", "failed")

    assert listed.status == 0
    assert REFUSED in " ".join(listed.out.split())
    assert "archive" not in listed.out


def test_an_object_that_gave_way_to_another_is_told_with_what_goes_instead(cad_node: CadNode, store: Store, tmp_path: Path):
    job_id = queue_replaceable(store.database, tmp_path / "results", {"pacs": Profile(("seg",))}, "seg", "gsps")
    (held,) = store.deliveries.claim("pacs", "host/sender/8", NOW, 60, 1)
    store.deliveries.replace(held, [Substitute("gsps", "")], "pacs takes no Segmentation Storage", NOW)

    listed = " ".join(cad_node("deliveries", "list").out.split())
    shown = " ".join(cad_node("jobs", "show", job_id).out.split())

    assert "pacs takes no Segmentation Storage; gsps goes instead" in listed
    assert "sending → replaced (replace by host/sender/8): pacs takes no Segmentation Storage; gsps goes instead" in shown
    assert "seg replaced, attempt 1: pacs takes no Segmentation Storage; gsps goes instead" in shown
    assert "gsps pending, attempt 0: instead of seg" in shown


def test_the_list_as_json_has_every_delivery(cad_node: CadNode, store: Store):
    fail_delivery(store, "pacs")
    finish_job(store, "archive")

    listed = cad_node("deliveries", "list", "--json").document

    assert [(one["destination"], one["state"]) for one in listed] == [("archive", "pending"), ("pacs", "failed")]


def test_retry_sends_again_what_failed_to_one_destination(cad_node: CadNode, store: Store):
    to_pacs, to_archive = fail_delivery(store, "pacs"), fail_delivery(store, "archive")

    ended = cad_node("deliveries", "retry", "--destination", "pacs")

    assert (ended.status, ended.out) == (0, "1 deliveries are due now\n")
    assert [d.state for d in store.jobs.show(to_pacs).deliveries] == [DeliveryState.PENDING]
    assert [d.state for d in store.jobs.show(to_archive).deliveries] == [DeliveryState.FAILED]


def test_the_list_names_the_object_as_the_settings_do(cad_node: CadNode, store: Store, tmp_path: Path):
    queue_replaceable(store.database, tmp_path / "results", {"pacs": Profile(("seg",))}, "seg", "gsps")

    listed = cad_node("deliveries", "list").out

    assert "  seg  " in listed
