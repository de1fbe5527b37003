"""The rules of what may go."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cad_node.retention import Kind, Removal, Stored, due, is_short
from cad_node.settings import Retention, Settings

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
MB = 1_000_000
RULE = Retention(inputs_days=30, results_days=90, free_below_mb=100, free_until_mb=200)


def stored(days: float, kind: Kind = Kind.INPUTS, size_mb: float = 10) -> Stored:
    return Stored(kind, "1.2.3", 7, NOW - timedelta(days=days), 1, int(size_mb * MB))


def chosen(rule: Retention, free_mb: float, *there: Stored) -> list[Removal]:
    oldest_first = sorted(there, key=lambda one: one.since)
    return list(due(oldest_first, rule, NOW, int(free_mb * MB), is_short(rule, int(free_mb * MB))))


def test_what_is_older_than_its_days_goes_and_says_so():
    old, young, result = stored(30.1), stored(29.9), stored(60, Kind.RESULTS)

    goes = chosen(RULE, 1000, old, young, result)

    assert goes == [Removal(old, "older than 30 days")]


def test_results_have_days_of_their_own():
    goes = chosen(RULE, 1000, stored(89, Kind.RESULTS), stored(91, Kind.RESULTS), stored(31, Kind.CONFLICT))

    assert [(removal.stored.kind, removal.why) for removal in goes] == [
        (Kind.RESULTS, "older than 90 days"),
        (Kind.CONFLICT, "older than 30 days"),
    ]


def test_with_days_of_zero_nothing_goes_for_its_age():
    assert chosen(RULE.model_copy(update={"inputs_days": 0}), 1000, stored(10_000)) == []


def test_where_space_is_short_the_oldest_go_until_the_upper_mark():
    there = [stored(days, size_mb=40) for days in (3, 1, 4, 2)]

    goes = chosen(RULE, 99, *there)

    assert [removal.stored.since for removal in goes] == [NOW - timedelta(days=days) for days in (4, 3, 2)]  # 99, 139, 179, 219 MB
    assert "100 MB" in goes[0].why
    assert "200 MB" in goes[0].why


def test_between_the_marks_nothing_more_goes_for_space():
    assert chosen(RULE, 100, stored(1)) == []


@given(
    days=st.lists(st.floats(0, 200), max_size=20),
    kinds=st.lists(st.sampled_from(Kind), min_size=20, max_size=20),
    free_mb=st.integers(0, 400),
)
def test_no_more_goes_than_was_asked_for(days: list[float], kinds: list[Kind], free_mb: int):
    there = [stored(age, kind) for age, kind in zip(days, kinds, strict=False)]

    goes = chosen(RULE, free_mb, *there)

    young = [removal for removal in goes if not removal.why.startswith("older")]
    for removal in goes:
        if removal not in young:
            assert NOW - removal.stored.since > timedelta(days=90 if removal.stored.kind is Kind.RESULTS else 30)
    if young:
        before_the_last = free_mb * MB + sum(removal.stored.size_bytes for removal in goes[: goes.index(young[-1])])
        assert free_mb < 100
        assert before_the_last < 200 * MB
        stays = [one for one in there if one not in [removal.stored for removal in goes]]
        assert all(one.since >= young[-1].stored.since for one in stays)  # the oldest went first


@pytest.mark.parametrize(
    "table",
    [
        {"retention": {"free_below_mb": 5000}},
        {"retention": {"free_below_mb": 600, "free_until_mb": 700}, "scp": {"min_free_mb": 600}},
    ],
)
def test_marks_that_would_not_work_are_refused(table: dict):
    with pytest.raises(ValidationError, match="free_below_mb"):
        Settings(**table)
