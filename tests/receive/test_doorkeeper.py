"""Access on the wire: rejections, presentation contexts kept back, and messages that reach further than their context."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role
from pynetdicom.dimse_primitives import C_FIND
from pynetdicom.presentation import build_context

from cad_node.receive.doorkeeper import _SERVICES
from cad_node.receive.mpps import PerformedProcedureSteps
from cad_node.receive.presentation import accepted_contexts
from cad_node.receive.query import Query
from cad_node.settings import Peer
from cad_node.store.held import Held
from cad_node.store.performed_steps import PerformedSteps
from tests.factory import ct_study
from tests.receive.front_door import ECHO, associate, encoded, opened_front_door, paused, store, store_bytes, utc_now

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
MPPS = "1.2.840.10008.3.1.2.3.3"
PROPOSED = [(uid, ExplicitVRLittleEndian) for uid in (CTImageStorage, FIND, MOVE, GET, MPPS)]


def services(database):
    return [Query(Held(database), {}, "CAD_NODE"), PerformedProcedureSteps(PerformedSteps(database), utc_now)]


def answer_of(association):
    answer = association.acceptor.primitive
    return association.is_rejected, answer.result, answer.result_source, answer.diagnostic


def results(association) -> dict[str, int]:
    return {str(context.abstract_syntax): context.result for context in [*association.accepted_contexts, *association.rejected_contexts]}


MAY = {
    "STORES": (("store",), {ECHO, CTImageStorage}),
    "QUERIES": (("query",), {ECHO, FIND}),
    "FETCHES": (("query", "move"), {ECHO, FIND, MOVE, GET}),
    "REPORTS": (("mpps",), {ECHO, MPPS}),
    "ALL": (("store", "query", "move", "commit", "mpps"), {ECHO, *(uid for uid, _ in PROPOSED)}),
    "NOTHING": ((), {ECHO}),
}  # calling AE title -> what it may, and the contexts that it gets


@pytest.fixture(scope="module", params=[True, False], ids=["fast", "plain"])
def strict_door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """Nobody is let in but whom these entries describe."""
    peers = {title.lower(): Peer(ae_title=title, may=may) for title, (may, _) in MAY.items()}
    peers |= {"elsewhere": Peer(ae_title="ELSEWHERE", addresses=["192.0.2.7"]), "shy": Peer(ae_title="CERTIFIED", certificate=["*"])}
    folder = tmp_path_factory.mktemp("strict") / "node"
    with opened_front_door(folder, fast=request.param, services=services, peers=peers, unknown_peers="reject") as opened:
        yield opened


@pytest.mark.parametrize("calling_ae_title", ["STRANGER", "ELSEWHERE", "CERTIFIED"])
def test_who_is_not_let_in_hears_why(strict_door, capsys, calling_ae_title):
    association = strict_door.associate(calling_ae_title=calling_ae_title)

    assert answer_of(association) == (True, 1, 1, 3)
    logged = capsys.readouterr().out
    assert "association.rejected" in logged
    assert f"address=127.0.0.1 calling_ae_title={calling_ae_title}" in logged


def test_an_address_out_of_range_hears_no_reason(tmp_path: Path):
    with opened_front_door(tmp_path / "node", addresses=["192.0.2.0/24"]) as opened:
        assert answer_of(opened.associate()) == (True, 1, 1, 1)


def test_another_called_ae_title_hears_why(tmp_path: Path):
    with opened_front_door(tmp_path / "node", called_ae_title="ours") as opened:
        stranger = associate(opened.port, called_ae_title="OTHER_NODE")
        friend = opened.associate()

        assert answer_of(stranger) == (True, 1, 1, 7)
        assert friend.is_established
        friend.release()


@pytest.mark.parametrize("calling_ae_title", MAY)
def test_the_contexts_of_services_that_a_peer_may_not_use_are_rejected_by_the_user(strict_door, calling_ae_title):
    association = strict_door.associate(*PROPOSED, ("1.2.3.4", ImplicitVRLittleEndian), calling_ae_title=calling_ae_title)

    answered = results(association)

    association.release()
    _, taken = MAY[calling_ae_title]
    assert {uid for uid, result in answered.items() if result == 0} == taken
    assert answered["1.2.3.4"] == 3  # abstract syntax not supported, PS3.8 9.3.3.2
    assert all(answered[uid] == 1 for uid, _ in PROPOSED if uid not in taken)


def test_a_stranger_sends_but_does_not_look(tmp_path: Path):
    ds = ct_study(slices=1)[0]
    with opened_front_door(tmp_path / "node", services=services, unknown_peers="store-only") as opened:
        association = opened.associate(*PROPOSED)

        status = store(association, ds).Status

        association.release()
    assert status == 0x0000
    assert results(association) == {ECHO: 0, CTImageStorage: 0, MPPS: 0, FIND: 1, MOVE: 1, GET: 1}


def test_who_may_fetch_but_not_store_has_storage_contexts_as_scp_alone(tmp_path: Path):
    ds = ct_study(slices=1)[0]
    peers = {"ws": Peer(ae_title="WORKSTATION", may=("query", "move"))}
    with opened_front_door(tmp_path / "node", services=services, peers=peers) as opened:
        ae = AE("WORKSTATION")
        ae.requested_contexts = [build_context(GET), build_context(CTImageStorage, ExplicitVRLittleEndian)]
        association = ae.associate("127.0.0.1", opened.port, ext_neg=[build_role(CTImageStorage, scu_role=True, scp_role=True)])

        roles = {str(context.abstract_syntax): (context.as_scu, context.as_scp) for context in association.accepted_contexts}
        status = store_bytes(association, encoded(ds), CTImageStorage, ds.SOPInstanceUID).Status

        association.release()
        assert not opened.files(ds.StudyInstanceUID)
    assert roles == {GET: (True, False), CTImageStorage: (False, True)}
    assert status == 0x0124


def test_a_message_of_a_service_without_its_context_is_not_authorized(tmp_path: Path):
    peers = {"ct": Peer(ae_title="MODALITY", may=("store",))}
    with opened_front_door(tmp_path / "node", services=services, peers=peers) as opened:
        association = opened.associate(*PROPOSED)
        request = C_FIND()
        request.MessageID, request.Priority, request.AffectedSOPClassUID = 7, 2, FIND
        identifier = Dataset()
        identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", ""
        request.Identifier = BytesIO(encoded(identifier))
        storage = next(context.context_id for context in association.accepted_contexts if context.abstract_syntax == CTImageStorage)

        with paused(association):
            association.dimse.send_msg(request, storage)
            _, response = association.dimse.get_msg(block=True)
        echoed = association.send_c_echo().Status

        association.release()
    assert (response.MessageIDBeingRespondedTo, response.Status) == (7, 0x0124)
    assert echoed == 0x0000


def test_peers_have_their_own_limits(tmp_path: Path):
    peers = {"ct": Peer(ae_title="CT1", max_associations=1)}
    with opened_front_door(tmp_path / "node", peers=peers) as opened:
        first = opened.associate(calling_ae_title="CT1")

        second, other = opened.associate(calling_ae_title="CT1"), opened.associate(calling_ae_title="CT2")
        first.release()
        third = opened.associate(calling_ae_title="CT1")

        assert answer_of(second) == (True, 2, 3, 2)
        assert (other.is_established, third.is_established) == (True, True)
        other.release()
        third.release()


def test_who_cannot_be_judged_is_not_let_in(tmp_path: Path):
    with opened_front_door(tmp_path / "node", peers={"broken": None}) as opened:
        assert answer_of(opened.associate()) == (True, 2, 2, 1)


def test_one_connection_too_many_is_closed(tmp_path: Path):
    with opened_front_door(tmp_path / "node", max_connections=2) as opened:
        kept = [opened.associate(), opened.associate()]

        third = associate(opened.port)

        assert not third.is_established
        assert [association.send_c_echo().Status for association in kept] == [0, 0]
        for association in kept:
            association.release()


def test_every_service_of_the_node_is_one_that_peers_can_be_allowed(tmp_path: Path):
    with opened_front_door(tmp_path / "node") as opened:
        offered = [context for service in services(opened.database) for context in service.contexts()]

    assert {str(context.abstract_syntax) for context in [*accepted_contexts(), *offered]} <= set(_SERVICES)
