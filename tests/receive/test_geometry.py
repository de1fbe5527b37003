"""Holes that the indexed headers tell of, and what they can't tell."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cad_node.receive.geometry import hole_in
from cad_node.study import Series
from tests.receive.models import stack

EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True)


@EXAMPLES
@given(st.integers(1, 30), st.floats(0.4, 5), st.randoms())
def test_a_regular_stack_in_any_order_has_no_hole(slices: int, spacing_mm: float, rng) -> None:
    series = stack("1.2", slices, spacing_mm=spacing_mm)
    images = list(series.instances)
    rng.shuffle(images)

    assert hole_in(replace(series, instances=tuple(images))) == ""


@EXAMPLES
@given(st.integers(5, 30), st.floats(0.4, 5), st.data())
def test_a_slice_that_is_missing_inside_is_a_hole_with_and_without_numbers(slices: int, spacing_mm: float, data) -> None:
    missing = data.draw(st.integers(1, slices - 2))

    numbered = stack("1.2", slices - 1, without=[missing], spacing_mm=spacing_mm)
    unnumbered = stack("1.2", slices - 1, without=[missing], spacing_mm=spacing_mm, InstanceNumber=None)

    assert hole_in(numbered).startswith("a gap of")
    assert hole_in(unnumbered).startswith("a gap of")


@EXAMPLES
@given(st.integers(2, 30), st.data())
def test_a_position_that_is_there_twice_is_told(slices: int, data) -> None:
    series = stack("1.2", slices)
    twin = replace(data.draw(st.sampled_from(series.instances)), sop_instance_uid="1.3")

    assert "there twice" in hole_in(replace(series, instances=(*series.instances, twin)))


def test_a_slice_that_is_missing_at_the_end_can_not_be_told() -> None:
    assert hole_in(stack("1.2", 9, without=[9])) == ""


def test_slices_that_are_missing_where_counting_begins_are_told_by_their_numbers() -> None:
    assert hole_in(stack("1.2", 9, without=[0, 1])) == "the first Instance Number is 3"


def test_images_without_positions_are_judged_by_their_numbers() -> None:
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None}

    assert hole_in(stack("1.2", 9, **nowhere)) == ""
    assert hole_in(stack("1.2", 8, without=[4], **nowhere)) == "1 Instance Numbers up to 9 are missing"


@pytest.mark.parametrize("header", [{"InstanceNumber": 1}, {"InstanceNumber": None}], ids=["all the same", "none"])
def test_numbers_that_do_not_count_tell_nothing(header: dict[str, object]) -> None:
    assert hole_in(stack("1.2", 9, **header)) == ""


def test_localizers_across_each_other_are_two_stacks_and_no_hole() -> None:
    frontal = stack("1.2", 1, ImageOrientationPatient=[1.0, 0.0, 0.0, 0.0, 0.0, -1.0], InstanceNumber=1)
    lateral = stack("1.3", 1, ImageOrientationPatient=[0.0, 1.0, 0.0, 0.0, 0.0, -1.0], InstanceNumber=2)

    assert hole_in(Series("1.2", "CT", frontal.instances + lateral.instances)) == ""


def test_a_series_without_images_has_no_hole() -> None:
    assert hole_in(Series("1.2", "CT", ())) == ""
