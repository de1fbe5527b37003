"""A PACS that answers what no PACS should: the sender says so, and neither waits nor collects without end."""

import itertools
import socket
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from cad_node.deliver.association import Association, Peer
from cad_node.deliver.messages import COMMAND, LAST, Context
from cad_node.errors import AssociationRejected, PacsUnreachable
from cad_node.receive.c_store import Request, response
from cad_node.receive.statuses import SUCCESS
from cad_node.settings import Destination
from tests.deliver.peers import rude_peer
from tests.fuzz.conversations import RELEASE_RESPONSE, data_pdu, plain_pdu
from tests.fuzz.mutation import Mutator
from tests.fuzz.targets import PDU_TOKENS, answers, command_pdus

CONTEXT = Context(CTImageStorage, ExplicitVRLittleEndian)
ACCEPTANCE, REQUEST = answers()[0], command_pdus()[0][12:]
STORE_ANSWER = response(1, Request(1, CTImageStorage, "1.2.3"), SUCCESS)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # of UIDs that are none
def test_answers_with_lies_in_them_are_answers_or_none_at_all() -> None:
    streams = Mutator(1, [ACCEPTANCE + STORE_ANSWER + plain_pdu(RELEASE_RESPONSE)], PDU_TOKENS)

    def behave(connection: socket.socket) -> None:
        connection.sendall(streams.next())
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass

    with rude_peer(behave) as pacs:
        ends = [_outcome(pacs) for _ in range(200)]

    assert {"stored", "PacsUnreachable"} <= set(ends) <= {"stored", "PacsUnreachable", "AssociationRejected"}


@pytest.mark.parametrize(
    "pdu",
    [
        pytest.param(data_pdu(1, COMMAND, bytes(1000)), id="a command"),
        pytest.param(data_pdu(1, 0, bytes(1000)), id="data sets"),
        pytest.param(data_pdu(1, COMMAND | LAST, REQUEST), id="requests"),
    ],
)
def test_a_peer_that_talks_without_end_is_left(pdu: bytes) -> None:
    with rude_peer(lambda connection: _send_without_end(connection, itertools.chain([ACCEPTANCE], itertools.repeat(pdu * 100)))) as pacs:
        end = _outcome(pacs)

    assert end == "PacsUnreachable"


def test_a_peer_that_never_answers_a_release_but_talks_is_left() -> None:
    answered = itertools.chain([ACCEPTANCE, STORE_ANSWER], itertools.repeat(data_pdu(1, LAST, b"") * 100))

    with rude_peer(lambda connection: _send_without_end(connection, answered)) as pacs:
        end = _outcome(pacs)

    assert end == "stored"


def test_a_peer_that_sends_a_byte_now_and_then_is_left() -> None:
    def behave(connection: socket.socket) -> None:
        for byte in ACCEPTANCE:
            connection.sendall(bytes([byte]))
            with suppress(TimeoutError):
                connection.settimeout(0.1)
                connection.recv(65_536)

    with rude_peer(behave) as pacs:
        end = _outcome(pacs, timeout_s=0.5)  # each byte is well within it, the PDU would take 20 s

    assert end == "PacsUnreachable"


def _outcome(pacs: Destination, timeout_s: float = 10) -> str:
    try:
        association = Association(Peer(pacs.host, pacs.port, "PACS", "CAD_NODE", timeout_s), [CONTEXT])
    except (PacsUnreachable, AssociationRejected) as error:
        return type(error).__name__
    try:
        if not association.accepts(CONTEXT):
            raise PacsUnreachable("not accepted")
        association.store(CONTEXT, "1.2.3", BytesIO(bytes(1000)))
    except PacsUnreachable as error:
        association.abort()
        return type(error).__name__
    association.release()
    return "stored"


def _send_without_end(connection: socket.socket, pdus: Iterator[bytes]) -> None:
    connection.settimeout(10)
    for pdu in pdus:
        connection.sendall(pdu)
