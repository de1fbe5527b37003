"""Action and Event Information: what is written is read again, and what isn't there is told without its values."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from cad_node.commitment import FailureReason, Reference, Report
from cad_node.deliver.commitment_datasets import (
    UnreadableInformation,
    action_information,
    decoded,
    encoded,
    event_information,
    read_action_information,
    read_event_information,
)

uids = st.lists(st.integers(0, 2**31), min_size=2, max_size=5).map(lambda parts: "1." + ".".join(map(str, parts)))
references = st.builds(Reference, uids, uids)
syntaxes = st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian])


@given(uids, st.lists(references, min_size=1, max_size=9, unique=True), syntaxes)
def test_a_request_is_read_as_it_was_written(transaction_uid, wanted, syntax):
    content = encoded(action_information(transaction_uid, wanted), syntax)

    assert read_action_information(decoded(content, syntax)) == (transaction_uid, tuple(wanted))


@given(
    uids,
    st.lists(references, max_size=9, unique=True),
    st.dictionaries(references, st.one_of(st.sampled_from(FailureReason), st.integers(0, 0xFFFF)), max_size=9),
    syntaxes,
)
def test_a_report_is_read_as_it_was_written(transaction_uid, committed, failed, syntax):
    report = Report(transaction_uid, tuple(committed), failed)

    event_type_id, information = event_information(report)

    assert event_type_id == (2 if failed else 1)
    assert read_event_information(decoded(encoded(information, syntax), syntax)) == report


@given(st.binary(max_size=200), syntaxes)
def test_any_bytes_are_read_or_refused(content, syntax):
    for read in (read_action_information, read_event_information):
        with suppress(UnreadableInformation):
            read(decoded(content, syntax))


@pytest.mark.parametrize("keyword", ["TransactionUID", "ReferencedSOPSequence"])
def test_what_is_missing_is_named(keyword):
    ds = action_information("1.2.4", [Reference("1.2", "1.2.3")])
    del ds[keyword]

    with pytest.raises(UnreadableInformation, match=r"Transaction|Referenced SOP Sequence"):
        read_action_information(ds)


def test_a_failure_without_a_reason_is_a_failure():
    _, ds = event_information(Report("1.2.4", (), {Reference("1.2", "1.2.3"): 0x0112}))
    del ds.FailedSOPSequence[0].FailureReason

    assert read_event_information(ds).failed == {Reference("1.2", "1.2.3"): FailureReason.PROCESSING_FAILURE}
