"""Many senders at once: the same study from four, and five hundred associations."""

import asyncio
import struct
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.factory import ct_study
from tests.faults.modality import Modality, assert_nothing_acknowledged_is_lost
from tests.faults.node import Node
from tests.faults.wire import ACCEPTED, DATA, REJECTED, request_pdu, status_of, store_pdus

pytestmark = pytest.mark.slow

ASSOCIATIONS, LIMIT = 500, 32
LOCAL_LIMIT_EXCEEDED = (2, 3, 2)  # transient, provider (presentation): PS3.8 Table 9-21


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with Node(tmp_path / "node", max_associations=LIMIT) as node:
        node.start("scp")
        yield node


def test_four_senders_of_the_same_study_leave_it_once(node: Node):
    study = ct_study(slices=60)
    modalities = [Modality(node) for _ in range(4)]

    with ThreadPoolExecutor(4) as senders:
        list(senders.map(lambda modality: modality.send(study), modalities))
    node.stop("scp")

    assert [len(modality.acknowledged) for modality in modalities] == [60] * 4
    assert_nothing_acknowledged_is_lost(node, *modalities)
    assert node.indexed() == {study[0].StudyInstanceUID: 60}
    assert len(node.found()) == 60


def test_of_five_hundred_associations_at_once_those_beyond_the_limit_are_told_so_and_the_others_are_served(node: Node):
    crowd = Crowd(node, ct_study(slices=ASSOCIATIONS))
    asyncio.run(crowd.come())
    node.stop("scp")

    print(f"associations {ASSOCIATIONS}, accepted {crowd.answers[ACCEPTED]}, rejected {crowd.answers[REJECTED]}")
    assert crowd.answers == {ACCEPTED: LIMIT, REJECTED: ASSOCIATIONS - LIMIT}
    assert set(crowd.rejections) == {LOCAL_LIMIT_EXCEEDED}
    assert len(crowd.modality.acknowledged) == LIMIT
    assert_nothing_acknowledged_is_lost(node, crowd.modality)


class Crowd:
    """Every one asks for an association; who gets one waits until all have their answers, and stores one instance."""

    def __init__(self, node: Node, instances: list[Dataset]) -> None:
        self.modality = Modality(node)
        self.answers, self.rejections = Counter[int](), Counter[tuple[int, ...]]()
        self._port, self._instances = node.port, instances
        self._asked = asyncio.Barrier(len(instances))

    async def come(self) -> None:
        async with asyncio.timeout(120):
            await asyncio.gather(*map(self._one, self._instances))

    async def _one(self, ds: Dataset) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(request_pdu())
        kind, body = await _read_pdu(reader)
        self.answers[kind] += 1
        await self._asked.wait()
        if kind == REJECTED:
            self.rejections[tuple(body[1:4])] += 1
        elif kind == ACCEPTED:
            writer.write(store_pdus(ds))
            kind, body = await _read_pdu(reader)
            assert kind == DATA
            if status_of(body) == 0x0000:
                self.modality.acknowledged[ds.SOPInstanceUID] = ds
        writer.close()
        await writer.wait_closed()


async def _read_pdu(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind, length = struct.unpack(">BxL", await reader.readexactly(6))
    return kind, await reader.readexactly(length)
