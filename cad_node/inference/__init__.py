"""ONNX Runtime sessions, and one file per task that turns a volume into findings."""
