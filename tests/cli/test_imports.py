"""Each process and each command imports only what it needs: a listener stays small, a help text is quick."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("cad_node.cli.main", {"sqlalchemy", "alembic", "pydicom", "onnxruntime", "highdicom", "scipy", "torch"}),
        ("cad_node.cli.processes, cad_node.app.scp", {"onnxruntime", "highdicom", "scipy", "torch", "cad_node.worker"}),
        ("cad_node.cli.processes, cad_node.app.sender", {"onnxruntime", "highdicom", "scipy", "torch", "cad_node.worker"}),
        ("cad_node.cli.processes, cad_node.app.serve", {"onnxruntime", "highdicom", "scipy", "torch", "cad_node.worker"}),
        ("cad_node.cli.processes, cad_node.app.worker", {"pynetdicom", "torch"}),
    ],
)
def test_a_process_imports_only_what_it_needs(imported: str, absent: set[str]):
    code = f"import sys, {imported}; print(*sys.modules)"

    modules = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())

    assert modules & absent == set()


def test_onnx_runtime_leaves_no_trace_of_its_telemetry(tmp_path: Path):
    subprocess.run([sys.executable, "-c", "import cad_node.inference.session"], env={**os.environ, "TMPDIR": str(tmp_path)}, check=True)

    assert list(tmp_path.iterdir()) == []  # its telemetry begins with a session file there
