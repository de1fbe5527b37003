"""Files removed while they come: every process killed, the same studies sent again, and nothing lost that is still needed."""

import time
from pathlib import Path

import pytest

from cad_node.demo.archive import Archive
from tests.faults.modality import Modality
from tests.faults.node import Node, rounds, seeded, wait_for
from tests.faults.test_kills import assert_each_result_arrived_once

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SOON = {"inputs_days": 1 / 86_400, "results_days": 1 / 86_400, "every_s": 0.1}


def test_files_that_are_removed_while_processes_die_have_been_delivered_and_leave_nothing_behind(tmp_path: Path):
    rng = seeded()
    with Archive(tmp_path / "archive") as archive, Node(tmp_path / "node", archive.port, retention=SOON) as node:
        node.start("scp", "worker", "sender")
        modality = Modality(node, pause_s=0.1)
        with modality.sending():
            for _ in rounds(4):
                time.sleep(rng.uniform(0, 3))
                victim = rng.choice(["scp", "worker", "sender", "sender"])
                node.kill(victim)
                node.start(victim)
                modality.again += modality.studies[:-2][:1]
        wait_for(lambda: node.is_over(len(modality.studies)), "every study to be answered")
        wait_for(lambda: not left(node), "every file to be removed")
        studies = node.ask("studies", "list", "--limit", "100000")
        node.stop("sender")
        node.stop("scp")

        print(f"acknowledged {len(modality.acknowledged)}, studies {len(studies)}, files left {len(left(node))}")
        assert all(study["removed_at"] and not study["instances"] for study in studies)
        assert {study["study_instance_uid"] for study in studies} == {study[0].StudyInstanceUID for study in modality.studies}
        assert_each_result_arrived_once(node, archive)
        assert not list((node.data / "spool" / "instances").iterdir())
        assert not list((node.data / "results").iterdir())


def left(node: Node) -> list[Path]:
    """Instances and results, wherever they lie."""
    return list(node.data.rglob("*.dcm"))
