"""Datasets on disk as the Series that the loader is given."""

from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from cad_node.imaging.load import load_volume
from cad_node.imaging.volume import Volume
from cad_node.manifest import Range
from cad_node.study import Instance, Series
from tests.factory import save_study

SERIES_UID = "1.2.3.4"
SLICE_SPACING_MM = Range(min=0.4, max=5.0)
PIXEL_SPACING_MM = Range(min=0.3, max=2.0)


def series_of(paths: Sequence[Path]) -> Series:
    """One instance per file, its UID made up: the loader reads the files themselves."""
    instances = tuple(Instance(f"1.2.3.4.{number}", "1.2.840.10008.5.1.4.1.1.2", "", path) for number, path in enumerate(paths, 1))
    return Series(SERIES_UID, "CT", instances)


def load_files(paths: Sequence[Path]) -> Volume:
    return load_volume(series_of(paths), SLICE_SPACING_MM, PIXEL_SPACING_MM)


def load_datasets(datasets: Sequence[Dataset], folder: Path) -> Volume:
    return load_files(save_study(list(datasets), folder))
