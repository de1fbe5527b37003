"""kill -9 of each process at random moments, while a sender that retries goes on."""

import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from cad_node.demo.archive import Archive
from tests.faults.modality import Modality, assert_nothing_acknowledged_is_lost
from tests.faults.node import Node, rounds, seeded, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def test_the_listener_killed_again_and_again_loses_nothing_it_acknowledged(tmp_path: Path):
    rng = seeded()
    with Node(tmp_path / "node") as node, ExitStack() as senders:
        node.start("scp")
        modalities = [Modality(node) for _ in range(3)]
        for modality in modalities:
            senders.enter_context(modality.sending())
        for _ in rounds(6):
            time.sleep(rng.uniform(0, 1.5))
            node.kill("scp")
            node.start("scp")
        senders.close()
        node.stop("scp")

        assert_nothing_acknowledged_is_lost(node, *modalities)


def test_every_process_killed_again_and_again_delivers_each_result_once(tmp_path: Path):
    rng, killed = seeded(), Counter[str]()
    with Archive(tmp_path / "archive") as archive, Node(tmp_path / "node", archive.port) as node:
        node.start("scp", "worker", "sender")
        modality = Modality(node, pause_s=0.1)
        with modality.sending():
            for _ in rounds(8):
                time.sleep(rng.uniform(0, 3))
                victim = rng.choice(["scp", "worker", "sender"])
                node.kill(victim)
                node.start(victim)
                killed[victim] += 1
        wait_for(lambda: node.is_over(len(modality.studies)), "every study to be answered")
        node.stop("scp")

        print(f"killed {dict(killed)}")
        assert_nothing_acknowledged_is_lost(node, modality)
        assert_each_result_arrived_once(node, archive)


def test_the_whole_node_killed_under_its_supervisor_goes_on_where_it_was(tmp_path: Path):
    rng = seeded()
    with Archive(tmp_path / "archive") as archive, Node(tmp_path / "node", archive.port) as node:
        node.start("serve")
        modality = Modality(node, pause_s=0.1)
        with modality.sending():
            for _ in rounds(2):
                time.sleep(rng.uniform(2, 8))
                node.kill("serve")  # its children see their supervisor gone and end
                wait_for(lambda: not node.answers(), "the children to end")
                node.start("serve")
        wait_for(lambda: node.is_over(len(modality.studies)), "every study to be answered")
        node.stop("serve")

        assert_nothing_acknowledged_is_lost(node, modality)
        assert_each_result_arrived_once(node, archive)


def assert_each_result_arrived_once(node: Node, archive: Archive) -> None:
    delivered = node.results()
    arrived = [path.stem.partition("-")[2] for path in archive.objects()]
    print(f"results {len(delivered)}, arrived {len(arrived)}")
    assert sorted(arrived) == sorted(delivered)
    assert archive.contradictions == []
