"""A listening Storage SCP on loopback with a spool and an embedded database of its own."""

import itertools
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.receive.front_door import FrontDoor, opened_front_door


@pytest.fixture(scope="module")
def front_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    """One for all tests of a file: they tell their studies apart by UID."""
    with opened_front_door(tmp_path_factory.mktemp("node")) as opened:
        yield opened


@pytest.fixture
def own_front_door(tmp_path: Path) -> Iterator[FrontDoor]:
    """For a test that harms it."""
    with opened_front_door(tmp_path / "node") as opened:
        yield opened


@pytest.fixture(scope="module")
def real_ct_slices(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The first slices of a real chest CT."""
    if "CAD_NODE_DATA" not in os.environ:
        pytest.skip("CAD_NODE_DATA is unset: the folder of real data sets")
    (archive,) = (Path(os.environ["CAD_NODE_DATA"]) / "lidc_idri_0314").glob("*.tar.xz")
    folder = tmp_path_factory.mktemp("ct")
    with tarfile.open(archive) as opened:
        slices = list(itertools.islice((member for member in opened if member.name.endswith(".dcm")), 10))
        opened.extractall(folder, members=slices, filter="data")
    return [folder / member.name for member in slices]
