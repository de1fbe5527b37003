"""The phantom's nodules: spheres of known place, size and density."""

import math
from dataclasses import dataclass

from cad_node.findings import Point


@dataclass(frozen=True, slots=True)
class PhantomNodule:
    centre_lps_mm: Point
    diameter_mm: float
    density_hu: float = 40.0
    core_diameter_mm: float = 0.0  # of a solid core inside a ground-glass nodule
    core_density_hu: float = 40.0

    @property
    def volume_mm3(self) -> float:
        return math.pi / 6 * self.diameter_mm**3


NODULES = (
    PhantomNodule((-78.0, -8.0, 62.0), 12.0),
    PhantomNodule((88.0, 14.0, 18.0), 8.0),
    PhantomNodule((-83.5, 62.7, -12.0), 14.0),  # against the pleura, which it touches
    PhantomNodule((72.0, -24.0, 58.0), 18.0, density_hu=-560.0, core_diameter_mm=9.0),  # part-solid
    PhantomNodule((-96.0, 22.0, -38.0), 6.0),
)
