"""serve, scp, worker, sender as real processes: how they start, what they say, and how they end."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.cli.processes import running, wait_until, write_config
from tests.shipped_models import LUNG_NODULES


@pytest.mark.slow
def test_serve_runs_every_process_and_drains_them_at_sigterm(tmp_path: Path):
    config, port = write_config(tmp_path)

    with running(config, "serve") as node:
        for said in ("scp.listening", "model.ready"):
            node.wait_for(said)
        node.wait_for("process.started", times=3)
        status = node.terminate()

    assert status == 0
    assert "process.died" not in node.log
    assert "scp.stopped" in node.log
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)


@pytest.mark.slow
def test_serve_ends_with_its_supervisor_when_it_is_told_to(tmp_path: Path):
    config, _ = write_config(tmp_path)

    with running(config, "serve", "--supervised") as node:
        node.wait_for("scp.listening")
        node.popen.stdin.close()
        status = node.popen.wait(60)

    assert status == 0


@pytest.mark.slow
def test_a_broken_model_is_named_in_the_log_and_the_node_runs_without_it(tmp_path: Path):
    broken = shutil.copytree(LUNG_NODULES, tmp_path / "models" / LUNG_NODULES.parent.name / LUNG_NODULES.name)
    with (broken / "model.onnx").open("ab") as file:
        file.write(b"changed")
    config, _ = write_config(tmp_path, f'[models]\ndir = "{tmp_path / "models"}"\n')

    with running(config, "serve") as node:
        node.wait_for("scp.listening")
        status = node.terminate()

    assert status == 0
    assert "model.unusable" in node.log
    assert f"{broken / 'model.onnx'}: graph.sha256" in node.log


@pytest.mark.slow
@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_serve_on_a_gpu_that_is_not_there_ends_with_78_and_one_clear_line(tmp_path: Path):
    config, _ = write_config(tmp_path, '[worker]\ndevices = ["cuda:0"]\n')

    with running(config, "serve") as node:
        status = node.popen.wait(60)

    assert status == 78
    errors = [line for line in node.log.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "device 'cuda:0': this ONNX Runtime has no CUDAExecutionProvider; install cad-node[gpu]" in errors[0]
    assert "Traceback" not in node.log


@pytest.mark.parametrize(("verb", "ready"), [("scp", "scp.listening"), ("worker", "model.ready"), ("sender", "")])
def test_a_process_on_its_own_runs_until_sigterm_and_ends_with_0(tmp_path: Path, verb: str, ready: str):
    config, _ = write_config(tmp_path)

    with running(config, verb) as process:
        process.wait_for(ready) if ready else wait_until((tmp_path / "data" / "cad_node.db").exists, "its database")
        with pytest.raises(subprocess.TimeoutExpired):
            process.popen.wait(1)
        status = process.terminate()

    assert (status, "Traceback" in process.log) == (0, False)


def test_a_listener_whose_port_is_taken_says_so_in_one_line(tmp_path: Path):
    config, port = write_config(tmp_path)

    with socket.create_server(("127.0.0.1", port)), running(config, "scp") as process:
        status = process.popen.wait(60)

    assert status == 1
    errors = [line for line in process.log.splitlines() if line.startswith("error:")]
    assert errors == [
        f"error: scp.host, scp.port: 127.0.0.1:{port}: Address already in use; stop what listens there or choose another port"
    ]
    assert "Traceback" not in process.log


def test_a_process_with_unknown_settings_ends_with_78(tmp_path: Path):
    config, _ = write_config(tmp_path, "[nonsense]\nkey = 1\n")

    with running(config, "scp", module="cad_node.cli.processes") as process:
        status = process.popen.wait(60)

    assert status == 78
    assert process.log.startswith(f"error: {config}: nonsense: ")
