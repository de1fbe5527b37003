"""C-FIND as SCU: the matches, and an error that says how far it came where there are none to be had."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification

from cad_node.errors import AssociationRejected, PacsUnreachable
from cad_node.query.association import QueryFailed, QueryPeer
from cad_node.query.find import find
from cad_node.settings import Destination, Source
from tests.deliver.peers import rude_peer, unused_port
from tests.query.archive import archive, peer_at

KEYS = {"StudyInstanceUID": "1.2", "NumberOfStudyRelatedInstances": ""}


def match(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def answering(*responses: tuple[int, Dataset | None]):
    """A C-FIND handler that gives these answers."""
    return (evt.EVT_C_FIND, lambda _event: iter(responses))


def test_matches_come_in_the_order_they_were_sent_and_both_kinds_of_pending_count():
    first, second = match(StudyInstanceUID="1.2"), match(StudyInstanceUID="1.3")

    with archive(answering((0xFF00, first), (0xFF01, second), (0x0000, None))) as peer:
        found = find(peer, "STUDY", KEYS)

    assert [ds.StudyInstanceUID for ds in found] == ["1.2", "1.3"]


def test_no_match_is_no_error():
    with archive(answering((0x0000, None))) as peer:
        assert find(peer, "STUDY", KEYS) == []


def test_the_request_holds_the_level_the_keys_and_the_character_set_that_they_need():
    asked = []

    def remember(event) -> Iterator[tuple[int, None]]:
        asked.append(event.identifier)
        yield 0x0000, None

    with archive((evt.EVT_C_FIND, remember)) as peer:
        find(peer, "SERIES", {"StudyInstanceUID": "1.2", "SeriesInstanceUID": ["1.2.1", "1.2.2"]})
        find(peer, "STUDY", {"PatientID": "Ä1"})

    assert (asked[0].QueryRetrieveLevel, list(asked[0].SeriesInstanceUID)) == ("SERIES", ["1.2.1", "1.2.2"])
    assert "SpecificCharacterSet" not in asked[0]
    assert (asked[1].PatientID, asked[1].SpecificCharacterSet) == ("Ä1", "ISO_IR 192")


@pytest.mark.parametrize(
    ("status", "words"), [(0xA700, "out of resources"), (0xA900, "doesn't match"), (0xC001, "unable"), (0xFE00, "cancelled")]
)
def test_a_failure_is_named_with_its_status_and_drops_the_matches_before_it(status: int, words: str):
    with archive(answering((0xFF00, match(StudyInstanceUID="1.2")), (status, None))) as peer, pytest.raises(QueryFailed) as raised:
        find(peer, "STUDY", KEYS)

    assert f"0x{status:04X}" in str(raised.value)
    assert words in str(raised.value)


def test_no_error_repeats_what_was_asked_for():
    with archive(answering((0xC000, None))) as peer, pytest.raises(QueryFailed) as raised:
        find(peer, "STUDY", {"PatientID": "SECRET-7"})

    assert "SECRET" not in str(raised.value)


def test_a_peer_without_c_find_is_told_apart_from_one_that_is_away():
    with (
        archive(contexts=[build_context(Verification)]) as peer,
        pytest.raises(QueryFailed, match=r"FIND|not accept|takes the association"),
    ):
        find(peer, "STUDY", KEYS)


def test_a_rejection_for_good_is_named():
    with archive(require_calling_aet=["OTHER"]) as peer, pytest.raises(AssociationRejected, match=r"CAD_NODE for good"):
        find(peer, "STUDY", KEYS)


def test_a_rejection_for_now_is_a_peer_out_of_reach():
    def reject(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"\x03\x00\x00\x00\x00\x04\x00\x02\x03\x02")  # A-ASSOCIATE-RJ: transient, local limit exceeded
        connection.recv(1 << 16)

    with rude_peer(reject) as there, pytest.raises(PacsUnreachable, match=r"for now: .*limit"):
        find(peer_at(there.port), "STUDY", KEYS)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom leaves the unconnected socket to the collector
def test_a_port_where_nothing_listens_is_named():
    port = unused_port()

    with pytest.raises(PacsUnreachable, match=rf"PACS at 127.0.0.1:{port} can't be reached"):
        find(peer_at(port), "STUDY", KEYS)


def test_a_peer_that_closes_at_once_or_never_answers_ends_the_query():
    def hang_up(connection: socket.socket) -> None:
        connection.recv(10)

    def stay_silent(connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            pass

    for behave in (hang_up, stay_silent):
        with rude_peer(behave) as there, pytest.raises(PacsUnreachable, match=r"ended the association"):
            find(replace(peer_at(there.port), timeout_s=0.5), "STUDY", KEYS)


def test_a_peer_that_aborts_in_its_answer_or_stops_answering_ends_the_query():
    def abort(event) -> Iterator[tuple[int, Dataset]]:
        yield 0xFF00, match(StudyInstanceUID="1.2")
        event.assoc.abort()

    def stop(event) -> Iterator[tuple[int, Dataset]]:
        yield 0xFF00, match(StudyInstanceUID="1.2")
        while event.assoc.is_established and not event.assoc.acse.is_aborted():
            pass

    for handler in (abort, stop):
        with archive((evt.EVT_C_FIND, handler)) as peer, pytest.raises(PacsUnreachable, match=r"in its answer to a query"):
            find(replace(peer, response_timeout_s=0.5), "STUDY", KEYS)


def test_a_peer_is_made_of_a_source_or_of_a_destination():
    source = Source(ae_title="PACS", host="pacs", port=104, response_timeout_s=900)
    destination = Destination(ae_title="PACS", host="pacs", port=104, calling_ae_title="CAD_OUT")

    assert QueryPeer.of(source, "CAD_NODE", 30) == QueryPeer("pacs", 104, "PACS", "CAD_NODE", 30, 900)
    assert QueryPeer.of(destination, "CAD_NODE", 30) == QueryPeer("pacs", 104, "PACS", "CAD_OUT", 30, 30)
