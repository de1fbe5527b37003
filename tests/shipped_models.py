"""The model folders that the repository ships, whatever their versions are."""

import shutil
from pathlib import Path

from cad_node.manifest import newest_version
from cad_node.shipped import shipped

MODELS = shipped("models")
LUNG_NODULES = newest_version(MODELS / "lung_nodule_ct")


def every_folder() -> list[Path]:
    return sorted(file.parent for file in MODELS.glob("*/*/model.toml"))


def copy_quick_models(folder: Path, candidates: int = 10) -> Path:
    """The shipped models, looking at few candidates: for tests of what is around the analysis."""
    copied = shutil.copytree(MODELS, folder)
    manifest = copied / LUNG_NODULES.relative_to(MODELS) / "model.toml"
    text = manifest.read_text(encoding="utf-8")
    assert "limit = 200" in text
    manifest.write_text(text.replace("limit = 200", f"limit = {candidates}"), encoding="utf-8")
    return copied
