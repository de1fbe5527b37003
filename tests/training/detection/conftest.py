import os
from pathlib import Path

import pytest

from tests.training.detection.luna_folder import make_patch_folder


@pytest.fixture(scope="session")
def patch_folder(tmp_path_factory) -> Path:
    return make_patch_folder(tmp_path_factory.mktemp("patches") / "set")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets."""
    if "CAD_NODE_DATA" not in os.environ:
        pytest.skip("CAD_NODE_DATA is unset: the folder of real data sets")
    return Path(os.environ["CAD_NODE_DATA"])


@pytest.fixture(scope="session")
def luna_patches(real_data) -> Path:
    """The published patches."""
    folder = real_data / "luna16_patches2d"
    if not folder.is_dir():
        pytest.skip(f"{folder} isn't there")
    return folder
