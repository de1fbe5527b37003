"""What is long and round in a chest: vessels, airways, ribs."""

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cad_node.findings import Point
from cad_node.phantom.anatomy import Anatomy, taper
from cad_node.phantom.grid import Tube

_CARINA: Point = (0.0, 18.0, 32.0)
_MURRAY = 2.7  # radius^2.7 of a vessel is the sum of its branches'


def lung_vessels(anatomy: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """Arteries and veins of both lungs."""
    roots: tuple[tuple[int, Point], ...] = (
        (1, (38.0, 4.0, 14.0)),
        (-1, (-38.0, 4.0, 10.0)),
        (1, (36.0, 16.0, -8.0)),
        (-1, (-36.0, 16.0, -10.0)),
    )
    return [tube for side, root in roots for tube in _tree(root, anatomy.points_in_lung(side, 520, rng), leaf_radius_mm=0.55)]


def airways(anatomy: Anatomy, rng: np.random.Generator) -> list[Tube]:
    """Lumens of trachea and bronchi."""
    trachea = [Tube((0.0, 8.0, 170.0), _CARINA, 8.5, 8.0)]
    for side in (1, -1):
        hilum = (side * 40.0, 22.0, 6.0)
        trachea.append(Tube(_CARINA, hilum, 6.5, 5.0))
        bronchi = _tree(hilum, anatomy.points_in_lung(side, 36, rng), leaf_radius_mm=0.75)
        trachea += [tube for tube in bronchi if not any(anatomy.in_heart(_point(position)) for position in _along(tube))]
    return trachea


def wall(lumen: Tube) -> Tube:
    """The outer surface of an airway."""
    return Tube(lumen.start, lumen.end, 1.2 * lumen.start_radius_mm + 0.4, 1.2 * lumen.end_radius_mm + 0.4)


def great_vessels() -> list[Tube]:
    """Aorta, caval vein, pulmonary trunk and arteries, oesophagus."""
    arch: list[Point] = [
        (-12, -30, -20),
        (-16, -34, 30),
        (-6, -26, 58),
        (10, -6, 66),
        (22, 22, 58),
        (27, 44, 36),
        (24, 50, -40),
        (12, 52, -160),
    ]
    pulmonary: list[Point] = [(16, -38, -8), (18, -20, 20), (2, -2, 22), (-38, 4, 10)]
    aorta = [Tube(a, b, 13.5, 13.5) for a, b in itertools.pairwise(arch)]
    trunk = [Tube(a, b, 11.0, 9.5) for a, b in itertools.pairwise(pulmonary)]
    others = [
        Tube((18.0, -20.0, 20.0), (40.0, 4.0, 14.0), 11.0, 8.0),
        Tube((-24.0, -14.0, -30.0), (-22.0, -12.0, 120.0), 9.5, 7.5),
        Tube((6.0, 40.0, -160.0), (2.0, 32.0, 150.0), 7.0, 7.0),
        Tube((24.0, -8.0, 66.0), (30.0, -2.0, 150.0), 4.5, 4.0),
        Tube((-26.0, -6.0, 60.0), (-34.0, 0.0, 150.0), 5.0, 4.0),
    ]
    return aorta + trunk + others


def ribs() -> Iterator[Tube]:
    """Twelve pairs, from the spine round and down to the front; the lower ones end at the side."""
    for number in range(12):
        last = 1.0 if number < 8 else 0.85 - 0.12 * (number - 8)
        along = np.linspace(0, last, 18)
        for side in (1, -1):
            yield from (Tube(a, b, 5.2, 5.2) for a, b in itertools.pairwise(_rib_points(along, 128.0 - 22.0 * number, side)))


def shoulder_bones() -> list[Tube]:
    """Collarbones, and the blades of the scapulae as stacks of bars."""
    bones = []
    for side in (1, -1):
        collarbone: list[Point] = [(side * 20, -72, 92), (side * 55, -66, 110), (side * 95, -30, 130), (side * 125, -6, 142)]
        bones += [Tube(a, b, 5.5, 5.0) for a, b in itertools.pairwise(collarbone)]
        for z in np.arange(15.0, 116.0, 2.5):
            width = 10 + 0.42 * (z - 15)
            bones.append(Tube((side * 74, 93, float(z)), (side * (74 + width), 93 - 0.62 * width, float(z)), 2.4, 3.4))
    return bones


def inner(bone: Tube, cortex_mm: float = 1.6) -> Tube:
    """The marrow of a bone."""
    return Tube(bone.start, bone.end, bone.start_radius_mm - cortex_mm, bone.end_radius_mm - cortex_mm)


def _along(tube: Tube) -> NDArray[np.float64]:
    start, end = np.array(tube.start), np.array(tube.end)
    points: NDArray[np.float64] = start + np.linspace(0, 1, 5)[:, None] * (end - start)
    return points


def _rib_points(along: NDArray[np.float64], start_z_mm: float, side: int) -> list[Point]:
    angle = np.radians(12 + 150 * along)
    z = start_z_mm - 68 * along**1.3
    scale = np.maximum(taper(z.astype(np.float32)), 0.3)
    x = side * (134 * scale + 7) * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.9
    y = (88 * scale + 7) * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.9
    return [(float(a), float(b), float(c)) for a, b, c in zip(x, y, z, strict=True)]


def _tree(root: Point, leaves: NDArray[np.float64], leaf_radius_mm: float) -> Iterator[Tube]:
    """A tree from `root` to all `leaves`, which splits its territory in halves at each fork."""
    todo = [(np.array(root), leaves)] if len(leaves) else []
    while todo:
        start, territory = todo.pop()
        middle = territory.mean(axis=0)
        end = middle if len(territory) == 1 else start + 0.42 * (middle - start)
        radius = leaf_radius_mm * len(territory) ** (1 / _MURRAY)
        yield Tube(_point(start), _point(end), radius, 0.92 * radius)
        if len(territory) > 1:
            todo += [(end, half) for half in _halves(territory, middle - start)]


def _halves(territory: NDArray[np.float64], direction: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split across the widest extent perpendicular to `direction`."""
    offsets = territory - territory.mean(axis=0)
    unit = direction / max(float(np.linalg.norm(direction)), 1e-6)
    flat = offsets - np.outer(offsets @ unit, unit)
    widest = np.linalg.svd(flat, full_matrices=False)[2][0]
    order = np.argsort(flat @ widest)
    return territory[order[: len(order) // 2]], territory[order[len(order) // 2 :]]


def _point(position: NDArray[np.float64]) -> Point:
    return float(position[0]), float(position[1]), float(position[2])
