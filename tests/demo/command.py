"""`cad-node demo` run as a person runs it, whose own node's settings are in the environment."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OWN_NODE = {
    "CAD_NODE_CONFIG": "/nowhere/cad_node.toml",
    "CAD_NODE_SCP__PORT": "1",
    "CAD_NODE_NODE__DATA_DIR": "/nowhere",
    "CAD_NODE_MODELS__ENABLED": '["nothing"]',
    "CAD_NODE_DATABASE__URL": "postgresql://nobody@127.0.0.1:1/none",
    "CAD_NODE_MISSPELT": "x",
}


@dataclass(frozen=True, slots=True)
class Shown:
    status: int
    text: str
    out: Path
    json_file: Path

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.json_file.read_text(encoding="utf-8"))

    def job(self, study_instance_uid: str) -> dict[str, Any]:
        (job,) = [job for job in self.document["jobs"] if job["study_instance_uid"] == study_instance_uid]
        return job


def run_demo(study: Path, folder: Path, *options: str) -> Shown:
    """Both streams together in `text`."""
    out, json_file = folder / "out", folder / "reports" / "demo.json"
    command = [sys.executable, "-m", "cad_node.cli", "demo", "--study", str(study), "--out", str(out), "--json", str(json_file), *options]
    ended = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, **OWN_NODE, "COLUMNS": "140"},
    )
    return Shown(ended.returncode, ended.stdout, out, json_file)
