"""The audit trail from the command line."""

import json
from pathlib import Path

import pytest

from cad_node.app.audit import audited, open_trail
from cad_node.audit.audit_log import log_files
from cad_node.audit.trail import Remote
from cad_node.settings import Settings, read_settings
from tests.cli.conftest import CadNode

STUDY = "1.2.826.0.1.3680043.8.498.1"


@pytest.fixture
def settings(config: Path) -> Settings:
    """Of a node that received a study and refused a peer."""
    settings = read_settings(config)
    with audited(settings, "scp") as trail:
        trail.instances_received(Remote("CT[1]", "10.1.2.3"), STUDY, {"1.2.3": 300})
        trail.association_refused(Remote("X", "10.6.6.6"), "calling ae title not recognised")
    return settings


def test_a_whole_chain_is_verified_and_its_anchor_shown(cad_node: CadNode, settings: Settings):
    ended = cad_node("audit", "verify")

    said = " ".join(ended.out.split())
    assert ended.status == 0
    assert "4 records in 1 files are whole: number 1 to 4" in said
    anchor = said.rpartition("anchor of the last: ")[2].replace(" ", "")
    assert cad_node("audit", "verify", "--anchor", anchor).status == 0


def test_a_changed_line_is_named_and_the_status_is_1(cad_node: CadNode, settings: Settings):
    (path,) = log_files(settings.audit_dir)
    path.write_bytes(path.read_bytes().replace(b"10.6.6.6", b"10.7.7.7"))

    ended = cad_node("audit", "verify")

    assert ended.status == 1
    assert f"{path.name}: line 3: its hash isn't that of its content" in " ".join(ended.err.split())


def test_a_chain_without_what_an_anchor_names_is_not_whole(cad_node: CadNode, settings: Settings):
    ended = cad_node("audit", "verify", "--anchor", f"9:{'0' * 64}")

    assert ended.status == 1
    assert "missing at the end" in ended.err


def test_an_anchor_that_is_none_is_wrong_usage(cad_node: CadNode, settings: Settings):
    assert cad_node("audit", "verify", "--anchor", "9").status == 2


def test_a_torn_line_is_told(cad_node: CadNode, settings: Settings):
    with log_files(settings.audit_dir)[-1].open("ab") as file:
        file.write(b'{"sequence":5,"ti')
    open_trail(settings, "scp").application_started()

    assert "1 lines were torn off" in cad_node("audit", "verify").out
    assert "torn off by a death in mid-write" in " ".join(cad_node("audit", "list").out.split())


def test_the_records_are_listed_and_the_look_is_a_record_itself(cad_node: CadNode, settings: Settings):
    shown = cad_node("audit", "list").out
    events = [row["event"] for row in cad_node("audit", "list", "--json").document]

    (received,) = [line for line in shown.splitlines() if "Instances Transferred" in line]
    assert "CT[1]" in received
    assert f"{STUDY[:10]}…{STUDY[-7:]} (300)" in received
    assert "calling ae title not recognised" in " ".join(shown.split())
    assert events == [
        *("Application Activity", "DICOM Instances Transferred", "Security Alert", "Application Activity"),
        "Audit Log Used",
    ]


def test_the_list_is_narrowed_to_an_event_and_a_number(cad_node: CadNode, settings: Settings):
    rows = cad_node("audit", "list", "--event", "application activity", "--limit", 1, "--json").document

    (row,) = rows
    assert (row["sequence"], row["event_type"], row["process"]) == (4, "Application Stop", "scp")


def test_a_transfer_is_listed_with_study_instances_and_peer(cad_node: CadNode, settings: Settings):
    (row,) = json.loads(cad_node("audit", "list", "--event", "DICOM Instances Transferred", "--json").out)

    assert (row["object_id"], row["instances"]) == (STUDY, 300)
    assert (row["peer"], row["peer_host"], row["process"]) == ("CT[1]", "10.1.2.3", "scp")


def test_a_node_that_never_ran_has_no_log(cad_node: CadNode):
    ended = cad_node("audit", "verify")

    assert ended.status == 1
    assert "no audit log at" in ended.err
