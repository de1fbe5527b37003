"""From the log to a syslog collector: nothing is lost while it is away."""

import threading
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cad_node.audit.audit_log import AuditLog, log_files
from cad_node.audit.collector import CollectorUnreachable, TlsCollector, UdpCollector
from cad_node.audit.forwarder import Forwarder, forwarded_anchor
from cad_node.audit.reading import records_after
from cad_node.audit.syslog import syslog_message
from cad_node.audit.trail import Remote, Trail
from cad_node.audit.verify import verify
from cad_node.settings import Collector, PeerTls
from tests.audit.collectors import Inbox, tls_collector, udp_collector
from tests.audit.conftest import NOON
from tests.certificates import Authority, Identity

pytestmark = pytest.mark.timeout(60)

STUDY = "1.2.826.0.1.3680043.8.498.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Identity:
    return authority.issue("collector", "localhost")


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def over_tls(folder: Path, inbox: Inbox, tls: PeerTls) -> Forwarder:
    collector = Collector(host="localhost", port=inbox.port, tls=tls)
    return Forwarder(folder, partial(syslog_message, host="node"), TlsCollector(collector).send)


def append(log: AuditLog, *messages: str) -> None:
    for message in messages:
        log.append(message, NOON)


def test_an_event_arrives_as_rfc_5424_and_ps3_15_want_it(
    trail: Trail, folder: Path, inbox: Inbox, identity: Identity, authority: Authority
):
    trail.instances_received(Remote("CT", "10.1.2.3"), STUDY, {"1.2.3": 4})
    trail.association_refused(Remote("Ünknown", "10.6.6.6"), "calling AE title")

    with tls_collector(inbox, identity):
        assert over_tls(folder, inbox, PeerTls(authorities=authority.file)).forward()

    transferred, alert = inbox.messages
    (_, record), _ = records_after(folder)
    assert transferred.priority == 85  # PS3.15 A.6: facility 10, severity 5
    assert alert.priority == 84
    assert (transferred.time, transferred.host) == ("2026-03-02T12:00:00.000Z", "node")
    assert (transferred.app_name, transferred.process_id, transferred.message_id) == ("cad-node", "-", "DICOM+RFC3881")
    assert transferred.structured_data == f'[chain@32473 sequence="1" hash="{record.hash}"]'
    assert transferred.message == record.message
    assert ElementTree.fromstring(alert.message).find("ActiveParticipant[2]").get("UserID") == "Ünknown"


def test_what_happens_while_the_collector_is_away_is_sent_when_it_is_back(
    audit_log: AuditLog, folder: Path, inbox: Inbox, identity: Identity, authority: Authority
):
    with tls_collector(inbox, identity):
        append(audit_log, "one")
        forwarder = over_tls(folder, inbox, PeerTls(authorities=authority.file))
        forwarder.forward()
    append(audit_log, "two", "three")
    with pytest.raises(CollectorUnreachable):
        forwarder.forward()
    restarted = over_tls(folder, inbox, PeerTls(authorities=authority.file))

    with tls_collector(inbox, identity):
        assert restarted.forward()
        assert not restarted.forward()

    assert inbox.sequences == [1, 2, 3]


def test_what_a_dying_collector_left_unread_is_sent_again(
    audit_log: AuditLog, folder: Path, inbox: Inbox, identity: Identity, authority: Authority
):
    append(audit_log, *("x" * 1_000 for _ in range(100)))
    with tls_collector(inbox, identity, reads=False):
        forwarder = over_tls(folder, inbox, PeerTls(authorities=authority.file))
        with pytest.raises(CollectorUnreachable):
            forwarder.forward()

    with tls_collector(inbox, identity):
        assert forwarder.forward()

    assert inbox.sequences == list(range(1, 101))


def test_a_long_backlog_is_sent_in_batches_through_every_file(folder: Path, inbox: Inbox, identity: Identity, authority: Authority):
    log = AuditLog(folder, 20_000, fsync=False)
    append(log, *(f"event {number}" for number in range(450)))
    log.close()

    with tls_collector(inbox, identity):
        forwarder = over_tls(folder, inbox, PeerTls(authorities=authority.file))
        rounds = [forwarder.forward() for _ in range(4)]

    assert rounds == [True, True, True, False]
    assert len(log_files(folder)) > 3
    assert [message.message for message in inbox.messages] == [f"event {number}" for number in range(450)]


def test_a_torn_line_is_not_sent_and_what_follows_it_is(
    audit_log: AuditLog, folder: Path, inbox: Inbox, identity: Identity, authority: Authority
):
    append(audit_log, "one")
    with log_files(folder)[-1].open("ab") as file:
        file.write(b'{"sequence":2,"ti')

    with tls_collector(inbox, identity):
        forwarder = over_tls(folder, inbox, PeerTls(authorities=authority.file))
        forwarder.forward()
        append(audit_log, "two")
        forwarder.forward()

    assert [message.message for message in inbox.messages] == ["one", "two"]


def test_a_collector_whose_certificate_nobody_vouches_for_gets_nothing(
    audit_log: AuditLog, folder: Path, inbox: Inbox, identity: Identity, tmp_path: Path
):
    append(audit_log, "one")
    stranger = Authority(tmp_path / "stranger", "Someone else")

    with tls_collector(inbox, identity), pytest.raises(CollectorUnreachable, match="certificate"):
        over_tls(folder, inbox, PeerTls(authorities=stranger.file)).forward()

    assert inbox.messages == []
    assert forwarded_anchor(folder) == {}


def test_a_collector_that_wants_a_client_certificate_gets_one(
    audit_log: AuditLog, folder: Path, inbox: Inbox, identity: Identity, authority: Authority
):
    append(audit_log, "one")
    client = authority.issue("node")
    known = PeerTls(authorities=authority.file, certificate=client.certificate, key=client.key)

    with tls_collector(inbox, identity, authority.file):
        with pytest.raises(CollectorUnreachable):
            over_tls(folder, inbox, PeerTls(authorities=authority.file)).forward()
        assert over_tls(folder, inbox, known).forward()

    assert inbox.sequences == [1]


def test_two_processes_that_forward_send_each_record_once(
    audit_log: AuditLog, folder: Path, inbox: Inbox, identity: Identity, authority: Authority
):
    append(audit_log, *(f"event {number}" for number in range(50)))
    other = threading.Event()
    busy = []

    with tls_collector(inbox, identity):
        second = over_tls(folder, inbox, PeerTls(authorities=authority.file))
        send = TlsCollector(Collector(host="localhost", port=inbox.port, tls=PeerTls(authorities=authority.file))).send
        first = Forwarder(
            folder, partial(syslog_message, host="node"), lambda messages: (busy.append(second.forward()), send(messages), other.set())
        )
        first.forward()

    assert other.is_set()
    assert busy == [False]
    assert inbox.sequences == list(range(1, 51))


def test_over_udp_each_record_is_a_datagram(audit_log: AuditLog, folder: Path, inbox: Inbox):
    append(audit_log, "one", "two")

    with udp_collector(inbox):
        collector = Collector(host="127.0.0.1", transport="udp", port=inbox.port)
        assert Forwarder(folder, partial(syslog_message, host="node"), UdpCollector(collector).send).forward()

    assert [message.message for message in inbox.messages] == ["one", "two"]


def test_lines_cut_off_after_they_were_sent_are_missed(
    audit_log: AuditLog, folder: Path, inbox: Inbox, identity: Identity, authority: Authority
):
    append(audit_log, "one", "two", "three")
    with tls_collector(inbox, identity):
        over_tls(folder, inbox, PeerTls(authorities=authority.file)).forward()
    path = log_files(folder)[-1]

    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))

    assert verify(folder, {}).broken is None
    assert "missing at the end" in verify(folder, forwarded_anchor(folder)).broken.why


def test_a_log_rewritten_after_it_was_sent_is_found(
    audit_log: AuditLog, folder: Path, inbox: Inbox, identity: Identity, authority: Authority
):
    append(audit_log, "one", "two")
    with tls_collector(inbox, identity):
        over_tls(folder, inbox, PeerTls(authorities=authority.file)).forward()
    log_files(folder)[-1].unlink()

    append(audit_log, "one", "another", "three")

    assert verify(folder, {}).broken is None
    assert verify(folder, forwarded_anchor(folder)).broken.line == 2


def test_a_mark_that_can_not_be_read_has_everything_sent_again(
    audit_log: AuditLog, folder: Path, inbox: Inbox, identity: Identity, authority: Authority
):
    append(audit_log, "one")
    (folder / "forwarded.json").write_text('{"file": "aud')

    with tls_collector(inbox, identity):
        over_tls(folder, inbox, PeerTls(authorities=authority.file)).forward()

    assert inbox.sequences == [1]
