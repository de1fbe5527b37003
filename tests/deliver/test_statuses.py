"""C-STORE statuses, by what becomes of the delivery."""

import pytest

from cad_node.deliver.statuses import outcome_of


@pytest.mark.parametrize("status", [0x0000, 0x0001, 0x0107, 0x0111, 0x0116, 0xB000, 0xB006, 0xB007, 0xB123])
def test_success_and_warnings_are_delivered(status):
    assert outcome_of(status).delivered


@pytest.mark.parametrize("status", [0xA700, 0xA7FF, 0x0110, 0x0124, 0x0213, 0xFE00, 0x0BAD])
def test_what_may_pass_is_tried_again(status):
    outcome = outcome_of(status)

    assert (outcome.delivered, outcome.retryable) == (False, True)


@pytest.mark.parametrize("status", [0xA900, 0xA9FF, 0xC000, 0xCFFF, 0x0117, 0x0122, 0x0210, 0x0211, 0x0212])
def test_what_will_not_pass_is_given_up(status):
    outcome = outcome_of(status)

    assert (outcome.delivered, outcome.retryable) == (False, False)


def test_the_reason_is_the_status_in_hexadecimal_and_its_meaning():
    assert outcome_of(0xA701).reason == "0xA701 out of resources"
