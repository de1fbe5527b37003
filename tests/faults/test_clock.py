"""A wall clock that is set back, and forward again, while the node works."""

import time
from pathlib import Path

import pytest

from cad_node.demo.archive import Archive
from tests.faults.modality import Modality, assert_nothing_acknowledged_is_lost
from tests.faults.node import Node, rounds, seeded, wait_for
from tests.faults.preload import preload
from tests.faults.test_kills import assert_each_result_arrived_once

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("step_s", [-10, -3600])
def test_a_clock_that_is_set_back_loses_nothing_and_delivers_nothing_twice(tmp_path: Path, step_s: int):
    rng = seeded()
    with Archive(tmp_path / "archive") as archive, Node(tmp_path / "node", archive.port) as node:
        clock = node.folder / "clock"
        clock.write_text("0")
        node.environment = {"LD_PRELOAD": str(preload("clock", node.folder)), "CLOCK_FILE": str(clock)}
        node.start("scp", "worker", "sender")
        modality = Modality(node, pause_s=0.1)
        with modality.sending():
            for number in rounds(1):
                time.sleep(rng.uniform(1, 3))
                clock.write_text(str(step_s * (number + 1)))
                time.sleep(rng.uniform(1, 3))
        wait_for(lambda: node.is_over(len(modality.studies)), "every study to be answered")
        node.stop("scp")

        assert_nothing_acknowledged_is_lost(node, modality)
        assert_each_result_arrived_once(node, archive)
