"""Outlines follow the network, are put at half the contrast, and come near to what readers drew on scans they were never trained on."""

import csv
import json
import lzma
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from PIL import Image

from cad_node.findings import Region
from cad_node.imaging.candidates import Candidate
from cad_node.imaging.measure import measure
from cad_node.imaging.volume import Volume
from cad_node.inference.network import Network, load_network
from cad_node.inference.outline_nodules import outline_nodule
from cad_node.manifest import PartFolder, newest_version, read_part
from tests.imaging.geometry import ball, volume_of
from tests.imaging.series import load_files
from tests.shipped_models import MODELS

DATA = os.environ.get("CAD_NODE_DATA")
real_scans = pytest.mark.skipif(not DATA, reason="CAD_NODE_DATA is unset: the folder of real data sets")
SPACING_MM = (1.25, 0.7, 0.7)
SHAPE = (40, 120, 120)
MIDDLE = (20.0, 60.0, 60.0)


@dataclass
class Bright:
    """A network that takes for nodule whatever is bright; remembers how many slabs it was shown."""

    parameters: dict[str, float] = field(default_factory=lambda: {"threshold": 0.5})
    shown: int = 0

    def run(self, inputs):
        self.shown += len(inputs)
        return {"nodule": (inputs[:, 1:2] > -400).astype(np.float32)}


class Blind(Bright):
    """A network that sees no nodule."""

    def run(self, inputs):
        return {"nodule": np.zeros((len(inputs), 1, 64, 64), np.float32)}


@pytest.fixture(scope="module")
def shipped() -> Network:
    folder = newest_version(MODELS / "nodule_segmentation_ct")
    return load_network(PartFolder(folder, read_part(folder)), "cpu", 1)


def in_lung(mask: np.ndarray, spacing_mm=SPACING_MM) -> Volume:
    noise = np.random.default_rng(3).normal(0, 20, mask.shape)
    return volume_of(np.where(mask, 40, -860) + noise, spacing_mm)


def outlined(volume: Volume, centre, diameter_mm: float, network: Network, lungs: np.ndarray | None = None) -> Region | None:
    inside = np.ones(volume.voxels.shape, bool) if lungs is None else lungs
    return outline_nodule(volume, inside, Candidate(centre, diameter_mm, 100.0), network)


def whole(volume: Volume, region: Region) -> np.ndarray:
    mask = np.zeros(volume.voxels.shape, bool)
    mask[region.slices] = region.mask
    return mask


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def test_the_connected_part_at_the_candidate_is_outlined():
    nodule, other = ball(SHAPE, SPACING_MM, MIDDLE, 5), ball(SHAPE, SPACING_MM, (20, 60, 78), 4)
    volume = in_lung(nodule | other)

    region = outlined(volume, MIDDLE, 10.0, Bright())

    assert dice(whole(volume, region), nodule) > 0.97


@pytest.mark.parametrize("aside", [(0, 5, -6), (3, -6, 4)])
def test_a_candidate_beside_the_nodule_is_centred(aside):
    nodule = ball(SHAPE, SPACING_MM, MIDDLE, 6)
    volume = in_lung(nodule)

    region = outlined(volume, tuple(np.add(MIDDLE, aside)), 9.0, Bright())

    assert dice(whole(volume, region), nodule) > 0.97


@pytest.mark.parametrize("diameter_mm", [8.0, 30.0])
def test_a_mass_that_is_larger_than_what_is_seen_at_once_is_outlined_whole(diameter_mm):
    shape, spacing_mm = (60, 160, 160), (1.5, 0.6, 0.6)
    mass = ball(shape, spacing_mm, (30, 80, 80), 27)  # 90 pixels wide
    volume = in_lung(mass, spacing_mm)

    region = outlined(volume, (30.0, 80.0, 80.0), diameter_mm, Bright())

    assert dice(whole(volume, region), mass) > 0.97


def test_an_outline_at_the_edge_of_the_image_stays_inside():
    nodule = ball(SHAPE, SPACING_MM, (0, 2, 117), 5)
    volume = in_lung(nodule)

    region = outlined(volume, (0.0, 2.0, 117.0), 10.0, Bright())

    assert dice(whole(volume, region), nodule) > 0.9


def test_what_the_network_does_not_take_for_a_nodule_has_no_outline():
    volume = in_lung(ball(SHAPE, SPACING_MM, MIDDLE, 5))

    assert outlined(volume, MIDDLE, 10.0, Blind()) is None


def test_what_is_far_from_the_candidate_is_not_taken_for_it():
    volume = in_lung(ball(SHAPE, SPACING_MM, (20, 60, 80), 4))

    assert outlined(volume, MIDDLE, 6.0, Bright()) is None


def test_what_lies_outside_the_lungs_is_no_nodule():
    volume = in_lung(ball(SHAPE, SPACING_MM, MIDDLE, 5))
    lungs = np.zeros(SHAPE, bool)
    lungs[:, :, :57] = True

    assert outlined(volume, MIDDLE, 10.0, Bright(), lungs) is None


def test_few_slabs_are_looked_at():
    network = Bright()

    outlined(in_lung(ball(SHAPE, SPACING_MM, MIDDLE, 5)), MIDDLE, 10.0, network)

    assert network.shown <= 20


@pytest.mark.parametrize("diameter_mm", [7.0, 12.0, 20.0])
def test_the_shipped_network_gives_a_ball_its_volume(shipped, diameter_mm):
    volume = in_lung(ball(SHAPE, SPACING_MM, (20.3, 60.2, 59.6), diameter_mm / 2))

    region = outlined(volume, MIDDLE, diameter_mm, shipped)

    assert measure(volume, region).volume_mm3 == pytest.approx(np.pi / 6 * diameter_mm**3, rel=0.05)


def test_the_shipped_network_leaves_the_vessel_off(shipped):
    nodule = ball(SHAPE, SPACING_MM, MIDDLE, 6)
    volume = in_lung(nodule | ball(SHAPE, SPACING_MM, MIDDLE, (1.2, 1.2, 500)))

    region = outlined(volume, MIDDLE, 12.0, shipped)

    assert dice(whole(volume, region), nodule) > 0.9


@pytest.fixture(scope="module")
def scan_0314(tmp_path_factory) -> Volume:
    folder = tmp_path_factory.mktemp("lidc_idri_0314")
    subprocess.run([f"{DATA}/unpack", "lidc_idri_0314", folder], check=True, capture_output=True)
    return load_files(sorted(folder.glob("**/*.dcm")))


@real_scans
@pytest.mark.parametrize("aside", [(0, 0, 0), (2, 3, -3)], ids=["at its centre", "beside it"])
def test_the_nodule_of_0314_is_outlined_as_its_readers_did(shipped, scan_0314, aside):
    consensus = read_consensus(scan_0314)
    centre = tuple(np.argwhere(consensus).mean(axis=0) + aside)

    region = outlined(scan_0314, centre, 14.0, shipped)

    assert dice(whole(scan_0314, region), consensus) >= 0.80
    assert 1700 <= measure(scan_0314, region).volume_mm3 <= 3312  # the readers' range and 15 % on either side


def read_consensus(volume: Volume) -> np.ndarray:
    """What at least half of the four readers outlined; a contour runs on the first pixels outside."""
    told = json.loads((Path(DATA) / "lidc_idri_0314" / "annotations.json").read_text())
    heights = np.array([float(source.ImagePositionPatient[2]) for source in volume.sources])
    grid = np.argwhere(np.ones(volume.voxels.shape[1:], bool))[:, ::-1]
    drawn = np.zeros((len(told["readers"]), *volume.voxels.shape), np.int8)
    for reader, mask in zip(told["readers"], drawn, strict=True):
        for contour in reader["contours_xy_pixel"]:
            inside = Polygon(contour["xy"]).contains_points(grid).reshape(volume.voxels.shape[1:])
            mask[np.argmin(np.abs(heights - contour["z"]))][inside] = contour["inclusion"]
    return drawn.mean(axis=0) >= 0.5


@pytest.fixture(scope="module")
def scan_0003() -> Volume:
    folder = Path(DATA) / "lidc_0003"
    told = json.loads((folder / "LIDC-IDRI-0003.json").read_text())
    packed = np.frombuffer(lzma.decompress((folder / "LIDC-IDRI-0003.delta16.xz").read_bytes()), np.uint8)
    count = int(np.prod(told["shape"]))
    steps = packed[:count].astype(np.int32) | packed[count:].astype(np.int32) << 8
    voxels = np.cumsum(((steps >> 1) ^ -(steps & 1)).reshape(told["shape"]), axis=2)
    return volume_of(voxels, tuple(told["spacing_zyx"]), told["offset_zyx"])


@real_scans
@pytest.mark.parametrize(
    ("key", "least"), [("0003_01", 0.65), ("0003_02", 0.65), ("0003_03", 0.80)]
)  # the first runs on into what one reader drew
def test_the_nodules_of_0003_are_outlined_as_their_readers_did(shipped, scan_0003, key, least, tmp_path):
    consensus = place_0003(scan_0003, key, tmp_path)
    spheres_mm = np.cbrt(6 / np.pi * consensus.sum() * np.prod(scan_0003.spacing_mm))

    region = outlined(scan_0003, tuple(np.argwhere(consensus).mean(axis=0)), float(spheres_mm), shipped)

    assert dice(whole(scan_0003, region), consensus) >= least


def place_0003(volume: Volume, key: str, folder: Path) -> np.ndarray:
    """What at least half of the readers outlined, on the scan's grid: the set's crops are the inner half of 128 pixels."""
    subprocess.run([f"{DATA}/unpack", "lidc_nodule_slices", folder], check=True, capture_output=True)
    with (folder / "nodules.csv").open() as stream:
        row = next(row for row in csv.DictReader(stream) if row["file"] == key)
    bits = np.asarray(Image.open(folder / "mask" / f"{key}.png")).reshape(-1, 64, 64)
    shares = np.mean([bits >> reader & 1 for reader in range(int(row["n_readers"]))], axis=0)
    offset = json.loads((Path(DATA) / "lidc_0003" / "LIDC-IDRI-0003.json").read_text())["offset_zyx"]
    z, y, x = np.subtract([int(row["z_index0"]), int(row["row0"]) + 32, int(row["col0"]) + 32], offset)
    mask = np.zeros(volume.voxels.shape, bool)
    mask[z : z + len(shares), y : y + 64, x : x + 64] = shares >= 0.5
    return mask
