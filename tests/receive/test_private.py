"""What the node writes is for its own account alone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.processes import running, write_config
from tests.factory import ct_study
from tests.receive.front_door import associate, store


@pytest.fixture
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_usual_umask")
def test_files_with_patients_data_are_readable_by_the_nodes_account_alone(tmp_path: Path) -> None:
    config, port = write_config(tmp_path)
    ds = ct_study(slices=1)[0]
    data = tmp_path / "data"

    with running(config, "scp", module="cad_node.cli.processes") as process:
        process.wait_for("scp.listening")
        association = associate(port)
        status = store(association, ds)
        association.release()
        folders, files = _modes(data)

    assert status.Status == 0x0000
    assert {data / "spool" / "instances" / ds.StudyInstanceUID / ds.SeriesInstanceUID, data} <= folders.keys()
    assert {path.name for path in files} >= {f"{ds.SOPInstanceUID}.dcm", "cad_node.db"}
    assert set(folders.values()) == {0o700}
    assert set(files.values()) == {0o600}


def _modes(root: Path) -> tuple[dict[Path, int], dict[Path, int]]:
    """The access of every folder and of every file."""
    modes = {path: path.stat().st_mode & 0o777 for path in [root, *root.rglob("*")]}
    return {path: mode for path, mode in modes.items() if path.is_dir()}, {path: mode for path, mode in modes.items() if path.is_file()}
