"""jobs: what an admin reads, and every way to steer."""

from dataclasses import fields

from cad_node.app.start import Store
from cad_node.lifecycle import DeliveryState, JobState
from cad_node.store.jobs import JobSummary
from tests.cli.conftest import CadNode
from tests.cli.rows import MODEL, T0, add_job, claim_delivery, finish_job

REFUSAL = ("no-matching-series", "no series fits: modality MR, wanted CT [see the manual]")


def test_the_list_as_json_has_every_field_of_each_row_newest_first(cad_node: CadNode, store: Store):
    older, newer = add_job(store), add_job(store, refusal=REFUSAL)

    listed = cad_node("jobs", "list", "--json")

    assert (listed.status, [job["id"] for job in listed.document]) == (0, [newer, older])
    assert set(listed.document[0]) == {field.name for field in fields(JobSummary)}
    assert (listed.document[0]["state"], listed.document[0]["reason_code"]) == ("refused", "no-matching-series")
    assert listed.document[1]["created_at"] == "2026-01-02T10:00:00+00:00"


def test_the_list_can_be_of_one_state(cad_node: CadNode, store: Store):
    queued = add_job(store)
    add_job(store, refusal=REFUSAL)

    listed = cad_node("jobs", "list", "--state", "queued", "--json")

    assert [job["id"] for job in listed.document] == [queued]


def test_an_unknown_state_is_wrong_usage_and_the_states_are_named(cad_node: CadNode, store: Store):
    listed = cad_node("jobs", "list", "--state", "lost")

    assert listed.status == 2
    assert "quarantined" in listed.err


def test_the_list_says_why_a_job_was_refused_brackets_and_all(cad_node: CadNode, store: Store):
    add_job(store, refusal=REFUSAL)

    listed = cad_node("jobs", "list")

    assert "no-matching-series: no series fits: modality MR, wanted CT [see the manual]" in " ".join(listed.out.split())


def test_a_job_as_json_has_its_row_its_moves_its_results_and_their_deliveries(cad_node: CadNode, store: Store):
    job_id = finish_job(store, "pacs", "archive")

    shown = cad_node("jobs", "show", job_id, "--json").document

    assert set(shown) == {"summary", "events", "results", "deliveries"}
    assert (shown["summary"]["state"], shown["summary"]["timings_s"]) == ("done", {"infer": 1.5})
    assert [event["event"] for event in shown["events"]] == ["claim", "finish"]
    assert sorted(delivery["destination"] for delivery in shown["deliveries"]) == ["archive", "pacs"]
    assert shown["results"][0]["sop_instance_uid"] == shown["deliveries"][0]["sop_instance_uid"]


def test_a_job_as_text_tells_its_moves_and_deliveries(cad_node: CadNode, store: Store):
    job_id = finish_job(store, "pacs")

    shown = " ".join(cad_node("jobs", "show", job_id).out.split())

    assert "queued → running (claim by host/worker cpu/7)" in shown
    assert "pacs seg pending, attempt 0" in shown


def test_a_job_tells_what_is_held_back_why_and_where_it_lies(cad_node: CadNode, store: Store):
    job_id = finish_job(store, "pacs", fault="segment 1 differs from its mask by 7 voxels in slice 3")

    shown = " ".join(cad_node("jobs", "show", job_id).out.split())

    assert "seg seg.dcm (held back, for inspection)" in shown
    assert "pacs seg held, attempt 0: segment 1 differs from its mask by 7 voxels in slice 3" in shown


def test_a_job_tells_by_which_evidence_it_was_made(cad_node: CadNode, store: Store):
    job_id = add_job(store)

    text, document = cad_node("jobs", "show", job_id).out, cad_node("jobs", "show", job_id, "--json").document

    assert "evidence association end" in " ".join(text.split())
    assert document["summary"]["evidence"] == "association end"


def test_a_job_that_is_not_there_is_an_error_in_one_line(cad_node: CadNode, store: Store):
    for verb in (["show", 99], ["retry", 99], ["cancel", 99], ["priority", 99, 1]):
        ended = cad_node("jobs", *verb)

        assert (ended.status, ended.out, ended.err) == (1, "", "error: no job 99\n")


def test_retry_queues_a_refused_job_again(cad_node: CadNode, store: Store):
    job_id = add_job(store, refusal=REFUSAL)

    ended = cad_node("jobs", "retry", job_id)

    assert ended.status == 0
    assert store.jobs.show(job_id).summary.state == JobState.QUEUED


def test_retry_of_a_running_job_says_in_which_states_it_could_be(cad_node: CadNode, store: Store):
    job_id = add_job(store)
    store.jobs.claim("host/worker cpu/7", [MODEL], T0, 60)

    ended = cad_node("jobs", "retry", job_id)

    assert ended.status == 1
    assert ended.err.startswith(f"error: job {job_id} can't be retried now, only while it is queued or refused or failed or quarantined")
    assert ended.err.count("\n") == 1


def test_retry_of_a_state_queues_every_job_in_it(cad_node: CadNode, store: Store):
    refused = [add_job(store, refusal=REFUSAL) for _ in range(2)]

    ended = cad_node("jobs", "retry", "--state", "refused")

    assert (ended.status, ended.out) == (0, "2 refused jobs are queued again\n")
    assert {store.jobs.show(job_id).summary.state for job_id in refused} == {JobState.QUEUED}


def test_retry_wants_a_number_or_a_state_and_not_both(cad_node: CadNode, store: Store):
    for arguments in ([], [1, "--state", "failed"]):
        assert cad_node("jobs", "retry", *arguments).status == 2


def test_the_list_counts_what_was_sent(cad_node: CadNode, store: Store):
    finish_job(store, "pacs", "archive")
    store.deliveries.deliver(claim_delivery(store, "pacs"), "0x0000 success", T0)

    listed = cad_node("jobs", "list")

    assert "1/2" in listed.out


def test_retry_of_a_finished_job_sends_what_failed_again(cad_node: CadNode, store: Store):
    job_id = finish_job(store, "pacs")
    store.deliveries.fail(claim_delivery(store, "pacs"), "0xA900 dataset doesn't match SOP class", T0)

    ended = cad_node("jobs", "retry", job_id)

    assert ended.status == 0
    assert [delivery.state for delivery in store.jobs.show(job_id).deliveries] == [DeliveryState.PENDING]


def test_retry_of_a_finished_job_without_a_failed_delivery_is_an_error(cad_node: CadNode, store: Store):
    job_id = finish_job(store, "pacs")

    ended = cad_node("jobs", "retry", job_id)

    assert ended.status == 1
    assert "nothing to retry" in ended.err


def test_cancel_of_a_queued_job_is_noted_as_the_admins(cad_node: CadNode, store: Store):
    job_id = add_job(store)

    ended = cad_node("jobs", "cancel", job_id)

    detail = store.jobs.show(job_id)
    assert (ended.status, detail.summary.state) == (0, JobState.CANCELLED)
    assert [(event.event, event.actor) for event in detail.events] == [("cancel", "admin")]


def test_cancel_of_a_finished_job_cancels_what_has_not_left(cad_node: CadNode, store: Store):
    job_id = finish_job(store, "pacs", "archive")
    store.deliveries.deliver(claim_delivery(store, "pacs"), "0x0000 success", T0)

    first, second = cad_node("jobs", "cancel", job_id), cad_node("jobs", "cancel", job_id)

    states = {delivery.destination: delivery.state for delivery in store.jobs.show(job_id).deliveries}
    assert states == {"pacs": DeliveryState.DELIVERED, "archive": DeliveryState.CANCELLED}
    assert (first.status, second.status) == (0, 1)
    assert "nothing to cancel" in second.err


def test_cancel_of_a_cancelled_job_says_in_which_states_it_could_be(cad_node: CadNode, store: Store):
    job_id = add_job(store)
    cad_node("jobs", "cancel", job_id)

    ended = cad_node("jobs", "cancel", job_id)

    assert ended.status == 1
    assert "only while it is queued or running" in ended.err


def test_a_queued_job_can_be_moved_forward_and_back(cad_node: CadNode, store: Store):
    job_id = add_job(store)

    forward = cad_node("jobs", "priority", job_id, 100)
    assert (forward.status, store.jobs.show(job_id).summary.priority) == (0, 100)
    back = cad_node("jobs", "priority", "--", job_id, -5)
    assert (back.status, store.jobs.show(job_id).summary.priority) == (0, -5)


def test_a_refused_job_has_no_priority_to_change(cad_node: CadNode, store: Store):
    job_id = add_job(store, refusal=REFUSAL)

    ended = cad_node("jobs", "priority", job_id, 1)

    assert ended.status == 1
    assert "only while it is queued" in ended.err


def test_watch_ends_after_the_looks_it_was_asked_for(cad_node: CadNode, store: Store):
    finish_job(store, "pacs")
    add_job(store)

    watched = cad_node("jobs", "watch", "--looks", 2, "--every", 0.1)

    assert watched.status == 0
    assert "queued 1  done 1  undelivered 1" in watched.out
    assert "lung_nodule_ct 1.0.0" in watched.out


def test_studies_are_listed_with_what_has_arrived_of_each(cad_node: CadNode, store: Store):
    add_job(store)

    listed = cad_node("studies", "list", "--json")
    (study,) = listed.document

    assert (study["state"], study["revision"], study["series"], study["instances"], study["conflicts"]) == ("complete", 1, 1, 1, 0)
    assert cad_node("studies", "list").out.count(study["study_instance_uid"][:10]) == 1
