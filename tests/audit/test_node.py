"""The trail of real processes, and its way to a collector that isn't always there."""

from pathlib import Path

import pytest

from cad_node.app.audit import open_trail
from cad_node.audit.reading import records_after
from cad_node.audit.summary import Summary, summary
from cad_node.audit.trail import Remote
from cad_node.audit.verify import verify
from cad_node.settings import read_settings
from tests.audit.collectors import Inbox, tls_collector
from tests.certificates import Authority
from tests.cli.processes import Process, running, wait_until, write_config
from tests.deliver.peers import unused_port
from tests.factory import ct_study
from tests.receive.front_door import associate, store

pytestmark = pytest.mark.timeout(120)

STUDY = "1.2.826.0.1.3680043.8.498.1"


def told(config: Path) -> list[Summary]:
    return [summary(record) for _, record in records_after(read_settings(config).audit_dir)]


def test_what_happens_while_the_collector_is_away_reaches_it_over_the_death_of_the_sender(tmp_path: Path):
    authority = Authority(tmp_path / "authority")
    identity = authority.issue("collector", "localhost")
    inbox = Inbox(unused_port())
    collector = f'[audit.collector]\nhost = "localhost"\nport = {inbox.port}\ntls = {{ authorities = "{authority.file}" }}\n'
    config, _ = write_config(tmp_path, collector)

    with running(config, "sender") as sender:
        sender.wait_for("step.waits")  # the collector is away
        open_trail(read_settings(config), "scp").instances_received(Remote("CT", "10.1.2.3"), STUDY, {"1.2.3": 300})
        sender.popen.kill()
    with tls_collector(inbox, identity), running(config, "sender") as sender:
        wait_until(lambda: len(inbox.messages) >= 3, "the messages of both lives")
        assert stopped(sender)

    assert inbox.sequences == [1, 2, 3]
    assert verify(read_settings(config).audit_dir, {}).broken is None
    assert [row.event_type or row.event for row in told(config)] == [
        *("Application Start", "DICOM Instances Transferred"),  # the first sender was killed: it tells no stop
        *("Application Start", "Application Stop"),
    ]


def stopped(process: Process) -> bool:
    return process.terminate() == 0


def test_the_listener_tells_its_start_what_it_was_sent_and_its_stop(tmp_path: Path):
    config, port = write_config(tmp_path)
    (ds,) = ct_study(slices=1)

    with running(config, "scp") as scp:
        scp.wait_for("scp.listening")
        association = associate(port, calling_ae_title="CT")
        store(association, ds)
        association.release()
        assert stopped(scp)

    assert [(row.event_type or row.event, row.process, row.peer, row.instances) for row in told(config)] == [
        ("Application Start", "scp", "", 0),
        ("Node Authentication", "scp", "CT", 0),
        ("DICOM Instances Transferred", "scp", "CT", 1),
        ("Application Stop", "scp", "", 0),
    ]
