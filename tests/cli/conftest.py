"""The command line run in this process, as `cad-node` runs it, and a node's folder with a few jobs."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog

from cad_node.app.start import Store, open_store
from cad_node.cli.main import main
from cad_node.settings import read_settings


class Ended(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


CadNode = Callable[..., Ended]


@pytest.fixture
def cad_node(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path) -> Iterator[CadNode]:
    """Runs `cad-node ARGUMENTS…` with the node's settings."""
    logging_as_it_was = structlog.get_config()
    monkeypatch.setenv("CAD_NODE_CONFIG", str(config))

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["cad-node", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    yield run
    structlog.configure(**logging_as_it_was)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "cad_node.toml"
    file.write_text(f'[node]\ndata_dir = "{tmp_path / "data"}"\n')
    return file


@pytest.fixture
def store(config: Path) -> Iterator[Store]:
    """The node's rows, as it would make them itself."""
    opened = open_store(read_settings(config))
    yield opened
    opened.database.dispose()
