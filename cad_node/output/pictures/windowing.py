"""Which values of a series show as black and white, by its modality and anatomy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sr.coding import Code

from cad_node.imaging.concepts import RIGHT_LUNG
from cad_node.imaging.volume import Volume
from cad_node.output.codes import site_and_side

SHOWN_PERCENTILES = (1.0, 99.0)  # where nothing says which values are of interest


@dataclass(frozen=True, slots=True)
class Window:
    """centre, width: in the volume's own values, HU for CT; inverted: the lowest value is white."""

    centre: float
    width: float
    unit: str = ""
    inverted: bool = False

    @property
    def words(self) -> str:
        return f"window {self.centre:.0f} / {self.width:.0f} {self.unit}".rstrip().replace("-", "−")

    def grey(self, values: NDArray[np.int16]) -> NDArray[np.uint8]:
        """Values of any shape -> 0..255. PS3.3 C.11.2.1.3.2: LINEAR_EXACT"""
        share = np.clip((values.astype(np.float32) - self.centre) / self.width + 0.5, 0.0, 1.0)
        return np.asarray(255 * (1 - share if self.inverted else share) + 0.5, np.uint8)


_LUNG = site_and_side(RIGHT_LUNG).region
_CT_WINDOWS = {_LUNG.value: Window(-600.0, 1600.0, "HU")}


def window_for(volume: Volume, site: Code) -> Window:
    """The window that findings at `site` are read in: the anatomy's own, else the source's, else most of the values."""
    header = volume.sources[0]
    is_ct = header.get("Modality") == "CT"
    if is_ct and (usual := _CT_WINDOWS.get(site_and_side(site).region.value)):
        return usual
    inverted = header.get("PhotometricInterpretation") == "MONOCHROME1"
    centre, width = _first(header, "WindowCenter"), _first(header, "WindowWidth")
    if centre is None or width is None or width <= 0:
        low, high = (float(value) for value in np.percentile(volume.voxels[:: max(1, len(volume.voxels) // 8)], SHOWN_PERCENTILES))
        centre, width = (low + high) / 2, max(high - low, 1.0)
    return Window(centre, width, "HU" if is_ct else "", inverted)


def _first(header: Dataset, keyword: str) -> float | None:
    value = header.get(keyword)
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    try:
        return None if value in (None, "") else float(value)
    except ValueError:  # not a number: as if it weren't there
        return None
