"""What is read of any valid data set is what pydicom reads of it, whole or with most of it still on disk."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless

from cad_node.receive.header import read_header
from cad_node.receive.statuses import UnparseableDataset
from tests.fuzz.datasets import SYNTAXES, encoded_as, valid_datasets
from tests.fuzz.reference import pydicom_header

DELIMITER_BYTES = 8  # of a Sequence Delimitation Item
EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True)


@EXAMPLES
@given(valid_datasets(), st.sampled_from(SYNTAXES))
def test_a_header_is_what_pydicom_reads(ds: Dataset, syntax: str) -> None:
    dataset = encoded_as(ds, syntax)

    header = read_header(dataset, syntax)

    assert header == pydicom_header(dataset, syntax)


@EXAMPLES
@given(valid_datasets(), st.sampled_from(SYNTAXES), st.integers(0, 600), st.sampled_from([bytes, bytearray, memoryview]))
def test_a_header_is_the_same_however_much_of_the_data_set_is_in_memory(ds: Dataset, syntax: str, known: int, kind: type) -> None:
    dataset = encoded_as(ds, syntax, pixel_bytes=10_000)
    beginning = kind(dataset[:known])

    header = read_header(beginning, syntax, len(dataset), lambda offset, count: dataset[offset : offset + count])

    assert header == read_header(dataset, syntax)


@EXAMPLES
@given(valid_datasets(), st.sampled_from(SYNTAXES), st.integers(1, 60))
def test_a_data_set_that_is_cut_inside_its_pixel_data_is_refused(ds: Dataset, syntax: str, cut: int) -> None:
    dataset = encoded_as(ds, syntax)
    assume(not (syntax == JPEG2000Lossless and cut == DELIMITER_BYTES))  # a missing delimiter passes

    with pytest.raises(UnparseableDataset):
        read_header(dataset[:-cut], syntax)
