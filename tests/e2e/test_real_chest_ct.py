"""A real chest CT with a nodule that four radiologists outlined: LIDC-IDRI-0314, through the whole node."""

import json
import os
import subprocess
import sys
from math import dist
from pathlib import Path
from typing import Any

import pytest

from tests.interop.tools import dciodvfy_errors

DATA = os.environ.get("CAD_NODE_DATA", "")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not DATA, reason="CAD_NODE_DATA names no folder of real images")]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `cad-node demo --study` told of the scan."""
    folder = tmp_path_factory.mktemp("lidc")
    subprocess.run([f"{DATA}/unpack", "lidc_idri_0314", folder / "study"], check=True, capture_output=True)
    command = [
        sys.executable,
        "-m",
        "cad_node.cli",
        "demo",
        "--study",
        folder / "study",
        "--out",
        folder / "out",
        "--json",
        folder / "demo.json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads((folder / "demo.json").read_text())


def test_the_readers_nodule_is_found_where_and_as_large_as_they_drew_it(shown: dict[str, Any]):
    # Its patches may be among those the model was trained on: this shows that the way works, not how good the model is.
    found = [finding for finding in shown["findings"] if dist(finding["centre_lps_mm"], (-57.44, 131.23, -520.36)) <= 7]

    assert len(found) == 1
    assert 1300 <= found[0]["volume_mm3"] <= 4300  # the readers: 2,000 to 2,880
    assert 10 <= found[0]["diameter_mm"] <= 22


def test_there_are_few_findings_beside_it(shown: dict[str, Any]):
    assert len(shown["findings"]) <= 15


def test_every_object_arrives_and_passes_the_validator(shown: dict[str, Any]):
    files = [Path(item["path"]) for item in shown["objects"]]

    assert sorted(item["modality"] for item in shown["objects"]) == ["SEG", "SR"]
    assert dciodvfy_errors(*files) == []
    assert shown["problems"] == []
