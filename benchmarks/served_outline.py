"""A nodule as the node outlines it: by the network that the shipped model names, its border settled at half the contrast."""

import functools

from cad_node.findings import Region
from cad_node.imaging.candidates import Candidate
from cad_node.imaging.shapes import Mask
from cad_node.imaging.volume import Volume
from cad_node.inference.network import Network, load_network
from cad_node.inference.outline_nodules import outline_nodule
from cad_node.manifest import newest_version, read_model
from cad_node.shipped import shipped


def served_outline(volume: Volume, lungs: Mask, candidate: Candidate) -> Region | None:
    return outline_nodule(volume, lungs, candidate, _network())


@functools.cache
def _network() -> Network:
    model = read_model(newest_version(shipped("models") / "lung_nodule_ct"))
    return load_network(model.parts["outline"], "cpu", 1)
