"""A power cut at a random moment: what was acknowledged was durable."""

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.factory import ct_study
from tests.faults.modality import Modality, assert_nothing_acknowledged_is_lost
from tests.faults.node import Node, rounds, seeded
from tests.faults.power import power

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def test_whatever_was_acknowledged_before_a_power_cut_is_there_after_it(tmp_path: Path):
    rng, lost = seeded(), 0
    with Node(tmp_path / "node") as node:
        cut = power(node.folder)
        node.environment = cut.environment
        modalities = [Modality(node, slices=3) for _ in range(3)]
        for _ in rounds(3):
            node.start("scp")
            with ExitStack() as senders:
                for modality in modalities:
                    senders.enter_context(modality.sending(once=True))
                time.sleep(rng.uniform(0.2, 1.5))
                node.kill("scp")
            lost += cut.cut()
        node.environment = {}
        node.start("scp")
        node.stop("scp")

        assert_nothing_acknowledged_is_lost(node, *modalities)
        print(f"files that lost content or name: {lost}")
        assert lost


def test_without_fsync_the_same_cut_loses_what_was_acknowledged(tmp_path: Path):
    """The simulation bites."""
    with Node(tmp_path / "node", fsync=False) as node:
        cut = power(node.folder)
        node.environment = cut.environment
        node.start("scp")
        modality = Modality(node)
        modality.send(ct_study(slices=4))
        node.kill("scp")
        cut.cut()
        node.environment = {}
        node.start("scp")
        node.stop("scp")

        print(f"acknowledged {len(modality.acknowledged)}, whole {len(whole(node))}")
        assert len(modality.acknowledged) == 4
        assert not whole(node)


def whole(node: Node) -> list[Path]:
    return [path for path in (node.data / "spool").rglob("*.dcm") if path.stat().st_size]
