"""A disk that is full in the middle of an instance: refused for now, nothing lost, nothing half."""

from pathlib import Path

import numpy as np
import pytest

from tests.factory import ct_study
from tests.faults.modality import Modality, assert_nothing_acknowledged_is_lost
from tests.faults.node import Node, rounds, seeded
from tests.receive.small_disk import fill, small_disk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

OUT_OF_RESOURCES = 0xA700


def test_a_disk_that_is_full_in_mid_instance_again_and_again_loses_nothing_it_acknowledged(tmp_path: Path):
    """No floor: the disk is filled to its last byte, below the database as well."""
    rng = seeded()
    with Node(tmp_path / "node") as node, small_disk(node.data, 40):
        node.start("scp")
        modality = Modality(node)
        for _ in rounds(4):
            study = ct_study(voxels=np.full((6, 512, 512), 40, np.int16))  # 524 KB each
            filler = fill(node.data, leave_mb=rng.uniform(0.1, 2.5))
            modality.try_once(study)
            filler.unlink()
            modality.send(study)
            for path in (node.data / "spool" / "instances" / study[0].StudyInstanceUID).rglob("*.dcm"):
                assert path.stat().st_size > 500_000
        node.stop("scp")

        print(f"statuses {sorted(map(hex, modality.statuses))}, failed associations {modality.failures}")
        assert OUT_OF_RESOURCES in modality.statuses
        assert modality.statuses <= {0x0000, OUT_OF_RESOURCES}
        assert_nothing_acknowledged_is_lost(node, modality)
