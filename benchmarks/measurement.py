"""How true the measurements are: solids of known size alone in lung, over size, slice spacing, noise and blur.

python benchmarks/measurement.py [--repeats N] [--outline MODULE:FUNCTION]... [--json FILE] [--plot FILE]

Pixels are 0.7 mm; each solid lies at a random place within its voxel. The outline "true" is the half-way contour of the scan
without noise: what comes of it is the measurement's own error, what comes of others that of outline and measurement together.
Beside it stands the outline that the node serves, or those that are named.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from pathlib import Path

import numpy as np
from measurement_report import Cell, judge, plot, print_tables, summarize, write_json
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from served_outline import served_outline

from cad_node.findings import Region
from cad_node.imaging.candidates import Candidate
from cad_node.imaging.measure import measure
from cad_node.imaging.shapes import box_around
from cad_node.imaging.volume import Volume
from cad_node.phantom.solids import Scan, Solid, axial_diameter_mm, ball, ellipsoid, lobulated, noise, scan_solid, volume_mm3

PIXEL_MM = 0.7
SPACINGS_MM = (0.6, 1.0, 1.25, 2.5, 5.0)
BLURS_MM = (0.35, 0.55, 0.8)  # sigma: sharp, standard and soft kernels, 0.8 to 1.9 mm full width at half maximum
NOISES_HU = (12.0, 24.0, 48.0)  # standard dose to ultra-low dose
SOLID_HU, GROUND_GLASS_HU = 40.0, -600.0
TRUE = "true"
SERVED = "served"

Outline = Callable[[Volume, NDArray[np.bool_], Candidate], Region | None]


@dataclass(frozen=True, slots=True)
class Shape:
    """diameter_mm names its size; the true figures are computed once."""

    name: str
    diameter_mm: float
    solid: Solid
    hu: float
    volume_mm3: float
    axial_diameter_mm: float

    @classmethod
    def of(cls, name: str, diameter_mm: float, solid: Solid, hu: float = SOLID_HU) -> "Shape":
        return cls(name, diameter_mm, solid, hu, volume_mm3(solid), axial_diameter_mm(solid))


def shapes() -> list[Shape]:
    return [
        *(Shape.of("ball", d, ball(d)) for d in (4, 5, 6, 8, 10, 15, 20, 30)),
        *(Shape.of("ellipsoid", d, ellipsoid(0.7 * d, 0.8 * d, d)) for d in (8, 16)),
        *(Shape.of("lobulated", d, lobulated(d)) for d in (10, 20)),
        *(Shape.of("ground glass", d, ball(d), GROUND_GLASS_HU) for d in (8, 16)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="places within the voxel, per condition")
    parser.add_argument("--outline", action="append", metavar="MODULE:FUNCTION", help="(volume, lungs, candidate) -> Region or None")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--plot", type=Path, help="and draw those of the last outline into this PNG")
    arguments = parser.parse_args()
    names = [TRUE, *(arguments.outline or [SERVED])]
    cells = list(sweep({name: _outline(name) for name in names}, arguments.repeats))
    console, summary = Console(), summarize(cells)
    print_tables(console, summary)
    judge(console, cells)
    if arguments.json:
        write_json(arguments.json, cells, summary)
    if arguments.plot:
        plot(summary, names[-1], arguments.plot)


def sweep(outlines: Mapping[str, Outline | None], repeats: int, seed: int = 1) -> Iterator[Cell]:
    """Every shape under every condition, with a progress bar. An outline that is None is the true one."""
    rng, todo = np.random.default_rng(seed), list(product(shapes(), SPACINGS_MM, BLURS_MM))
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns) as progress:
        task = progress.add_task("scanning and measuring", total=len(todo))
        for shape, spacing_mm, blur_mm in todo:
            scan = Scan(spacing_mm, PIXEL_MM, blur_mm, shape.hu)
            scanned = [(offset, scan_solid(shape.solid, scan, offset)) for offset in _offsets(repeats, rng)]
            for noise_hu in NOISES_HU:
                noisy = [(offset, clean, clean + noise(clean.shape, noise_hu, PIXEL_MM, rng)) for offset, clean in scanned]
                for name, outline in outlines.items():
                    errors = [_errors(shape, scan, outline, *one) for one in noisy]
                    yield Cell.of(name, shape.name, shape.diameter_mm, spacing_mm, blur_mm, noise_hu, errors)
            progress.advance(task)


def _outline(name: str) -> Outline | None:
    if name in {TRUE, SERVED}:
        return served_outline if name == SERVED else None
    module, _, function = name.partition(":")
    found: Outline = getattr(import_module(module), function)
    return found


def _offsets(repeats: int, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    return [(float(z), float(y), float(x)) for z, y, x in rng.uniform(-0.5, 0.5, (repeats, 3))]


def _errors(  # noqa: PLR0917 - one scan
    shape: Shape,
    scan: Scan,
    outline: Outline | None,
    offset: tuple[float, float, float],
    clean: NDArray[np.float32],
    hu: NDArray[np.float32],
) -> tuple[float, float] | None:
    """Of volume in percent and of the longest axial diameter in mm; None if nothing was outlined."""
    volume = _volume(hu, scan.slice_spacing_mm)
    if outline is None:
        region = _half_way(clean)
    else:
        z, y, x = (size // 2 + part for size, part in zip(hu.shape, offset, strict=True))
        region = outline(volume, np.ones(hu.shape, np.bool_), Candidate((z, y, x), shape.diameter_mm, 1.0))
    if region is None:
        return None
    size = measure(volume, region)
    return 100 * (size.volume_mm3 / shape.volume_mm3 - 1), size.long_axis.length_mm - shape.axial_diameter_mm


def _half_way(clean: NDArray[np.float32]) -> Region:
    mask = clean >= (clean.min() + clean.max()) / 2
    z, y, x = box_around(mask)
    return Region((z.start, y.start, x.start), np.ascontiguousarray(mask[z, y, x]))


def _volume(hu: NDArray[np.float32], spacing_mm: float) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, PIXEL_MM], [0, PIXEL_MM, 0], [spacing_mm, 0, 0]])
    return Volume(np.rint(hu).astype(np.int16), affine, (Dataset(),) * len(hu))


if __name__ == "__main__":
    main()
