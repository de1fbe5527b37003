"""C-MOVE and C-GET as SCU with archives that do well, badly, and nothing: what is made of their answers."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from cad_node.errors import PacsUnreachable
from cad_node.query.association import QueryFailed, QueryPeer
from cad_node.query.retrieve import Request, SubOperations, move
from tests.deliver.peers import pacs
from tests.query.archive import archive

STUDY = Request("STUDY", {"StudyInstanceUID": "1.2"}, instances=3)


def instance(number: int) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"1.2.{number}"
    ds.ensure_file_meta()
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    return ds


def sending(to, *instances: Dataset):
    """A C-MOVE handler that sends these instances."""

    def send(_event) -> Iterator:
        yield to.host, to.port, {"contexts": [build_context("1.2.840.10008.5.1.4.1.1.2")]}
        yield len(instances)
        for ds in instances:
            yield 0xFF00, ds

    return (evt.EVT_C_MOVE, send)


def moved(peer: QueryPeer, stop: threading.Event | None = None) -> tuple[SubOperations, list[SubOperations]]:
    """The final count, and all of them."""
    counts: list[SubOperations] = []
    return move(peer, STUDY, "CAD_NODE", counts.append, stop or threading.Event()), counts


def test_every_count_is_told_and_the_last_one_is_the_answer():
    with pacs(lambda _: 0x0000) as node, archive(sending(node, instance(1), instance(2))) as peer:
        last, counts = moved(peer)

    assert [(count.completed, count.remaining) for count in counts] == [(1, 1), (2, 0), (2, 0)]
    assert (last, last.status, last.trouble) == (counts[-1], 0x0000, "")


def test_failures_and_warnings_are_counted_and_the_failures_named():
    statuses = iter((0xB000, 0xA700, 0x0000))

    with pacs(lambda _: next(statuses)) as node, archive(sending(node, *map(instance, (1, 2, 3)))) as peer:
        last, _ = moved(peer)

    assert (last.status, last.completed, last.warning, last.failed, last.failed_uids) == (0xB000, 1, 1, 1, ("1.2.2",))
    assert last.trouble == "0xB000: some of the instances couldn't be sent"


def test_a_move_destination_that_the_archive_does_not_know_is_a_trouble_that_says_what_to_do():
    def unknown(_event) -> Iterator:
        yield None, None

    with archive((evt.EVT_C_MOVE, unknown)) as peer:
        last, _ = moved(peer)

    assert last.status == 0xA801
    assert "enter this node's AE title" in last.trouble


def test_a_move_is_cancelled_while_the_archive_says_nothing():
    stop, is_asked = threading.Event(), threading.Event()

    def slow(event) -> Iterator:
        yield "127.0.0.1", node.port, {"contexts": [build_context("1.2.840.10008.5.1.4.1.1.2")]}
        yield 2
        stop.set()
        while not event.is_cancelled:
            assert not is_asked.wait(0.01)
        yield 0xFE00, None

    with pacs(lambda _: 0x0000) as node, archive((evt.EVT_C_MOVE, slow)) as peer:
        last, _ = moved(peer, stop)

    assert (last.status, last.remaining, last.trouble) == (0xFE00, 2, "0xFE00: cancelled")


def test_an_archive_that_aborts_or_falls_silent_ends_the_retrieve():
    def abort(event) -> Iterator:
        event.assoc.abort()
        yield None, None

    def fall_silent(event) -> Iterator:
        while not event.assoc.acse.is_aborted():
            pass
        yield None, None

    for handler in (abort, fall_silent):
        with archive((evt.EVT_C_MOVE, handler)) as peer, pytest.raises(PacsUnreachable, match="in a retrieve"):
            moved(replace(peer, response_timeout_s=0.5))


def test_an_archive_that_only_answers_queries_is_named():
    with archive(contexts=[build_context(StudyRootQueryRetrieveInformationModelFind)]) as peer, pytest.raises(QueryFailed, match="MOVE"):
        moved(peer)
