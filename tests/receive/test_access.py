"""Who may associate, and for what: judged by the settings, told in the words of PS3.8."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cad_node.receive.access import (
    ALL_SERVICES,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
    NO_REASON_GIVEN,
    Access,
    Caller,
    Refused,
)
from cad_node.settings import Peer, Scp
from cad_node.tls import PeerCertificate

SENDERS_SERVICES = frozenset(("store", "commit", "mpps"))


def judge(caller: Caller, peers=None, **settings):
    """The admission, or the rejection."""
    try:
        return Access(Scp(**settings), peers or {}, "CAD_NODE").enter(caller, lambda: True)
    except Refused as refusal:
        return refusal.rejection


def caller(calling_ae_title="CT1", address="10.1.0.7", names=(), called_ae_title="CAD_NODE") -> Caller:
    certificate = PeerCertificate(f"CN={names[0]}", tuple(names)) if names else None
    return Caller(calling_ae_title, called_ae_title, address, certificate)


@pytest.mark.parametrize(("policy", "may"), [("accept", ALL_SERVICES), ("store-only", SENDERS_SERVICES)])
def test_an_unknown_peer_may_what_the_policy_says(policy, may):
    admission = judge(caller(), unknown_peers=policy)

    assert admission.may == may


def test_by_default_an_unknown_peer_may_send_but_not_look():
    assert judge(caller()).may == SENDERS_SERVICES


def test_an_unknown_peer_is_rejected_where_only_known_ones_may_come():
    assert judge(caller(), unknown_peers="reject") == CALLING_AE_TITLE_NOT_RECOGNIZED == (1, 1, 3)


@pytest.mark.parametrize(
    ("called", "setting", "refused"), [("OTHER", "any", False), ("OTHER", "ours", True), ("CAD_NODE", "ours", False), ("", "ours", True)]
)
def test_another_called_ae_title_is_rejected_where_only_ours_will_do(called, setting, refused):
    judged = judge(caller(called_ae_title=called), called_ae_title=setting)

    assert (judged == CALLED_AE_TITLE_NOT_RECOGNIZED == (1, 1, 7)) is refused


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("10.1.255.1", False),
        ("10.2.0.1", True),
        ("::ffff:10.1.0.1", False),
        ("2001:db8::5", False),
        ("2001:db9::5", True),
        ("fe80::1%eth0", True),
    ],
)
def test_an_address_out_of_range_is_rejected(address, refused):
    judged = judge(caller(address=address), addresses=["10.1.0.0/16", "2001:db8::/32"])

    assert (judged == NO_REASON_GIVEN == (1, 1, 1)) is refused


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_a_range_holds_its_addresses_and_no_other(address, bits):
    network = ip_network(f"10.20.30.40/{bits}", strict=False)

    judged = judge(caller(address=str(address)), addresses=[str(network)])

    assert (judged == NO_REASON_GIVEN) is (address not in network)


PACS = Peer(ae_title="PACS", addresses=["10.9.0.0/24"], certificate=["pacs.example.org"], may=("query", "move"))


def test_a_known_peer_may_what_its_entry_says_however_strangers_are_met():
    known = caller("PACS", "10.9.0.1", ["pacs.example.org"])

    for policy in ("accept", "store-only", "reject"):
        assert judge(known, {"pacs": PACS}, unknown_peers=policy).may == {"query", "move"}


@pytest.mark.parametrize(
    "impostor",
    [
        caller("PACS", "10.9.1.1", ["pacs.example.org"]),
        caller("PACS", "10.9.0.1", ["ct1.example.org"]),
        caller("PACS", "10.9.0.1"),
    ],
    ids=["from elsewhere", "with another certificate", "without a certificate"],
)
@pytest.mark.parametrize("policy", ["accept", "store-only", "reject"])
def test_who_borrows_an_ae_title_is_rejected_however_strangers_are_met(impostor, policy):
    assert judge(impostor, {"pacs": PACS}, unknown_peers=policy) == CALLING_AE_TITLE_NOT_RECOGNIZED


def test_an_entry_without_a_title_is_for_all_who_come_from_there():
    scanners = Peer(addresses=["10.1.0.0/16"], may=("store",))

    assert judge(caller("ANY"), {"scanners": scanners}, unknown_peers="reject").may == {"store"}
    assert judge(caller("ANY", "10.2.0.1"), {"scanners": scanners}, unknown_peers="reject") == CALLING_AE_TITLE_NOT_RECOGNIZED


def test_one_title_may_have_entries_for_two_places():
    peers = {
        "here": Peer(ae_title="WS", addresses=["10.1.0.0/16"], may=("query",)),
        "there": Peer(ae_title="WS", addresses=["10.2.0.0/16"]),
    }

    assert judge(caller("WS", "10.1.0.1"), peers).may == {"query"}
    assert judge(caller("WS", "10.2.0.1"), peers).may == SENDERS_SERVICES
    assert judge(caller("WS", "10.3.0.1"), peers) == CALLING_AE_TITLE_NOT_RECOGNIZED


def test_one_more_than_the_limit_is_rejected_until_another_has_gone():
    access = Access(Scp(max_associations=2), {}, "CAD_NODE")
    open_ones = {"first": True, "second": True}
    access.enter(caller("FIRST"), lambda: open_ones["first"])
    access.enter(caller("SECOND"), lambda: open_ones["second"])

    with pytest.raises(Refused) as refusal:
        access.enter(caller("ANOTHER"), lambda: True)
    open_ones["first"] = False
    access.enter(caller("ANOTHER"), lambda: True)

    assert refusal.value.rejection == LOCAL_LIMIT_EXCEEDED == (2, 3, 2)


def test_a_peer_s_limit_leaves_room_for_others():
    peers = {"ct": Peer(ae_title="CT1", max_associations=1), "mr": Peer(ae_title="MR1")}
    access = Access(Scp(max_associations=10, max_associations_per_peer=2), peers, "CAD_NODE")

    admitted = {}
    for title, address in [("CT1", "10.0.0.1"), ("MR1", "10.0.0.2"), ("OTHER", "10.0.0.3"), ("ALIAS", "10.0.0.3"), ("OTHER", "10.0.0.4")]:
        for _ in range(3):
            try:
                access.enter(caller(title, address), lambda: True)
            except Refused:
                continue
            admitted[title, address] = admitted.get((title, address), 0) + 1

    # the unknown ones count by address: a title is easily changed
    assert admitted == {("CT1", "10.0.0.1"): 1, ("MR1", "10.0.0.2"): 2, ("OTHER", "10.0.0.3"): 2, ("OTHER", "10.0.0.4"): 2}


def test_a_rejected_one_is_not_counted():
    access = Access(Scp(max_associations=1, unknown_peers="reject"), {"ct": Peer(ae_title="CT1")}, "CAD_NODE")
    for _ in range(3):
        with pytest.raises(Refused):
            access.enter(caller("STRANGER"), lambda: True)

    assert access.enter(caller("CT1"), lambda: True).counted_as == "peers.ct"


@pytest.mark.parametrize(
    "entry", [{}, {"may": ("store",)}, {"ae_title": "A", "addresses": ["10.1.2.3/8"]}, {"ae_title": "A", "may": ("delete",)}]
)
def test_an_entry_that_describes_nobody_or_nothing_is_refused(entry):
    with pytest.raises(ValidationError):
        Peer(**entry)
