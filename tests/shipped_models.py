"""The model folders that the repository ships, whatever their versions are."""

from pathlib import Path

from cad_node.manifest import newest_version
from cad_node.shipped import shipped

MODELS = shipped("models")
LUNG_NODULES = newest_version(MODELS / "lung_nodule_ct")


def every_folder() -> list[Path]:
    return sorted(file.parent for file in MODELS.glob("*/*/model.toml"))
