"""ONNX Runtime sessions, and one file per task that turns a volume into findings."""

import os

# Read when the library is loaded: its Linux wheels can report usage to their maker, and nothing leaves a hospital's node unasked.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
