"""Slices of another thickness lie where they should, and are compared with the scan's own where both lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cad_node.training.lungs.reslicing import SCANNED_MM, Slicing

HU_PER_MM = 7


def ramp(slices: int) -> np.ndarray:
    """HU that rise with the height."""
    return np.broadcast_to((np.arange(slices) * SCANNED_MM * HU_PER_MM)[:, None, None], (slices, 2, 3)).astype(np.int16)


@given(slices=st.integers(1, 12), apart_mm=st.integers(1, 12))
def test_a_slice_shows_what_lies_at_its_height(slices: int, apart_mm: int):
    resliced = Slicing(apart_mm).reslice(ramp(slices))

    assert np.array_equal(resliced[:, 0, 0], np.arange(len(resliced)) * apart_mm * HU_PER_MM)
    assert 0 <= (slices - 1) * SCANNED_MM - (len(resliced) - 1) * apart_mm < apart_mm


@given(slices=st.integers(1, 12), apart_mm=st.integers(1, 12))
def test_slices_are_compared_with_those_of_the_scan_at_the_same_height(slices: int, apart_mm: int):
    voxels, slicing = ramp(slices), Slicing(apart_mm)

    assert np.array_equal(slicing.scanned(slicing.reslice(voxels)), slicing.met(voxels))


def test_a_thick_slice_mixes_in_a_twelfth_of_each_neighbour():
    voxels = np.zeros((5, 1, 1), np.int16)
    voxels[2] = 1200

    thick = Slicing(6, (-1.5, 1.5)).reslice(voxels)

    assert thick[:, 0, 0].tolist() == pytest.approx([0, 0, 400, 1000, 400, 0, 0])
