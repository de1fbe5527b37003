"""Whatever a service answers to STOW-RS, it is read or passed over, and never an exception."""

import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cad_node.deliver.exchange import Answer
from cad_node.deliver.store_response import outcome_of_rest, outcomes_by_instance
from tests.deliver.dicomweb import told

JSON, XML = "application/dicom+json", "application/dicom+xml"
answer = partial(Answer, 200, retry_after_s=0.0)

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
tags = st.sampled_from(["00081198", "00081199", "00081155", "00081197", "00081196", "Value", "vr"])
documents = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(tags, inner, max_size=4), max_leaves=30)
reasons = st.integers(0, 0xFFFF)
uids = st.from_regex(r"1\.[1-9][0-9]{0,20}", fullmatch=True)


@given(documents)
def test_any_json_is_read_or_passed_over(document):
    outcomes = outcomes_by_instance(answer(JSON, json.dumps(document).encode()))

    assert all(outcome.reason for outcome in outcomes.values())


@given(
    st.binary(max_size=200) | documents.map(lambda document: f"<a>{document}</a>".encode()), st.sampled_from([JSON, XML, "", "text/html"])
)
def test_any_bytes_are_read_or_passed_over(body, media_type):
    assert outcomes_by_instance(answer(media_type, body)) == {}


@pytest.mark.parametrize(("body", "media_type"), [(b"[" * 100_000, JSON), (b"<a>" * 100_000, XML), (b"1e999", JSON)])
def test_what_is_nested_without_end_is_passed_over(body, media_type):
    assert outcomes_by_instance(answer(media_type, body)) == {}


@given(st.sets(uids, max_size=5), st.dictionaries(uids, reasons, max_size=5))
def test_each_instance_that_is_named_has_an_outcome_and_a_failure_is_never_retryable_and_delivered(stored, failed):
    outcomes = outcomes_by_instance(answer(JSON, told(sorted(stored - failed.keys()), failed)))

    assert outcomes.keys() == stored | failed.keys()
    assert all(outcomes[uid].delivered for uid in stored - failed.keys())
    assert not [outcome for outcome in outcomes.values() if outcome.delivered and (outcome.retryable or outcome.unsupported)]


@given(st.integers(100, 599), st.booleans())
def test_only_200_without_names_is_taken_for_success(status, others_named):
    outcome = outcome_of_rest(Answer(status, "", b"", 0.0), others_named=others_named)

    assert outcome.delivered == (status == 200 and not others_named)
