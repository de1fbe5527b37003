"""C-FIND as proof: who finds an instance holds it."""

import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt

from cad_node.commitment import Reference
from cad_node.confirmation import Located, NotAnswered
from cad_node.query.confirmation import ByFind
from tests.query.archive import archive

SEG, SR = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34"
HELD, MISSING = (Located("1.2", "1.2.1", Reference(SEG, f"1.2.1.{number}")) for number in (1, 2))
OTHER_SERIES = Located("1.2", "1.2.2", Reference(SR, "1.2.2.1"))


def match(sop_instance_uid: str, **values: str) -> Dataset:
    ds = Dataset()
    ds.QueryRetrieveLevel, ds.SOPInstanceUID = "IMAGE", sop_instance_uid
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def ask(instances, *responses):
    """The answer of a PACS that answers every query so, and the queries."""
    queries = []
    handlers = [(evt.EVT_C_FIND, lambda event: queries.append(event.identifier) or iter(responses))]
    with archive(*handlers) as peer:
        return ByFind(peer).ask("2.25.1", instances), queries


def test_what_is_found_is_kept_and_the_rest_is_looked_for_again():
    answer, queries = ask([HELD, OTHER_SERIES, MISSING], (0xFF00, match("1.2.1.1", SOPClassUID=SEG)))

    assert (answer.committed, dict(answer.failed), answer.reports_later) == ({HELD.reference}, {}, False)
    assert [query.SeriesInstanceUID for query in queries] == ["1.2.1", "1.2.2"]
    assert queries[0].SOPInstanceUID == ["1.2.1.1", "1.2.1.2"]
    assert queries[0].QueryRetrieveLevel == "IMAGE"


@pytest.mark.parametrize(("values", "kept"), [({}, True), ({"SOPClassUID": SR}, False)], ids=["without the class", "another class"])
def test_the_class_counts_where_the_pacs_tells_it(values, kept):
    answer, _ = ask([HELD], (0xFF00, match("1.2.1.1", **values)))

    assert (HELD.reference in answer.committed) is kept


def test_a_failed_query_is_not_taken_for_no():
    with pytest.raises(NotAnswered, match="0xA700"):
        ask([HELD], (0xA700, None))
