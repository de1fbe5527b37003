"""An ONNX Runtime session on the device that was asked for, or an error."""

from pathlib import Path
from typing import Any

import onnxruntime

from cad_node.errors import ProviderMissing

CPU = "CPUExecutionProvider"

# First part of a device name -> execution providers, best first; the first must be the one in use.
PROVIDERS = {
    "cpu": (CPU,),
    "cuda": ("CUDAExecutionProvider", CPU),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", CPU),
    "openvino": ("OpenVINOExecutionProvider", CPU),
}

_INSTALL = {
    "cuda": "install cad-node[gpu] in place of cad-node[cpu] and check the driver with nvidia-smi",
    "tensorrt": "install cad-node[gpu] in place of cad-node[cpu], and TensorRT",
    "openvino": "install onnxruntime-openvino in place of onnxruntime",
}


def open_session(file: Path, device: str, threads: int = 0) -> onnxruntime.InferenceSession:
    """Open `file` on `device` (cpu, cuda:0, tensorrt:0, openvino); threads: on a CPU, 0 leaves it to ONNX Runtime.

    Raises ProviderMissing if ONNX Runtime would run it anywhere else: a GPU node that computes on its CPU
    is an error, not a slow success.
    """
    kind, _, number = device.partition(":")
    if kind not in PROVIDERS:
        raise ProviderMissing(f"device {device!r}: unknown; name one of {', '.join(PROVIDERS)}, with :0, :1, … for a GPU")
    wanted = PROVIDERS[kind][0]
    if wanted not in onnxruntime.get_available_providers():
        raise ProviderMissing(f"device {device!r}: this ONNX Runtime has no {wanted}; {_INSTALL[kind]}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=[_with_options(name, number) for name in PROVIDERS[kind]])
    if session.get_providers()[0] != wanted:  # it falls back silently, also when it lists the provider as available
        raise ProviderMissing(f"device {device!r}: ONNX Runtime uses {session.get_providers()[0]}, not {wanted}; {_INSTALL[kind]}")
    return session


def _with_options(provider: str, number: str) -> str | tuple[str, dict[str, Any]]:
    on_gpu = provider in ("CUDAExecutionProvider", "TensorrtExecutionProvider")
    return (provider, {"device_id": number or "0"}) if on_gpu else provider
