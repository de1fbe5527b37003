"""C-ECHO: how far it came with peers that answer well, badly, or not at all."""

import time

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom import evt
from pynetdicom.presentation import AllStoragePresentationContexts, build_context
from pynetdicom.sop_class import Verification

from cad_node.deliver.echo import echo
from cad_node.errors import AssociationRejected, PacsUnreachable
from cad_node.settings import Destination
from tests.deliver.peers import only, pacs, rude_peer, unused_port

VERIFIES = [*AllStoragePresentationContexts[:5], build_context(Verification)]


def accept(event) -> int:
    return 0x0000


def test_a_peer_that_answers_is_there_and_hears_our_title():
    titles = []
    heard = [(evt.EVT_C_ECHO, lambda event: titles.append(event.assoc.requestor.ae_title) or 0x0000)]

    with pacs(accept, VERIFIES, heard) as peer:
        echo(peer, "CAD_NODE", 5)

    assert titles == ["CAD_NODE"]


def test_a_peer_that_does_not_know_us_says_so():
    with pacs(accept, VERIFIES, require_calling_aet=["OTHER"]) as peer, pytest.raises(AssociationRejected, match=r"CAD_NODE for good"):
        echo(peer, "CAD_NODE", 5)


def test_a_peer_without_verification_takes_the_association_only():
    with pacs(accept, only(CTImageStorage)) as peer, pytest.raises((PacsUnreachable, AssociationRejected), match=r"C-ECHO|abort"):
        echo(peer, "CAD_NODE", 5)


def test_a_status_that_is_no_success_is_told_in_hex():
    with pacs(accept, VERIFIES, [(evt.EVT_C_ECHO, lambda _: 0x0122)]) as peer, pytest.raises(PacsUnreachable, match=r"0x0122"):
        echo(peer, "CAD_NODE", 5)


def test_nobody_at_the_port_is_told_with_title_host_and_port():
    port = unused_port()

    with pytest.raises(PacsUnreachable, match=f"PACS at 127.0.0.1:{port} can't be reached: Connection refused"):
        echo(Destination(ae_title="PACS", host="127.0.0.1", port=port), "CAD_NODE", 5)


def test_a_host_without_address_is_told():
    with pytest.raises(PacsUnreachable, match=r"nowhere.invalid:104 can't be reached"):
        echo(Destination(ae_title="PACS", host="nowhere.invalid", port=104), "CAD_NODE", 5)


def test_a_web_server_is_no_pacs():
    with (
        rude_peer(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)) as peer,
        pytest.raises(PacsUnreachable, match=r"DICOM|closed|lost"),
    ):
        echo(peer, "CAD_NODE", 5)


def test_a_peer_that_says_nothing_is_given_up_after_the_timeout():
    started = time.monotonic()

    with rude_peer(lambda _connection: time.sleep(1.5)) as peer, pytest.raises(PacsUnreachable, match=r"no answer within 0.5 s"):
        echo(peer, "CAD_NODE", 0.5)

    assert time.monotonic() - started < 5
