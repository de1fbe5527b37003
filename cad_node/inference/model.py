"""A model made ready to run: its own network and those of its parts."""

from collections.abc import Mapping
from dataclasses import dataclass

from cad_node.inference.network import Network, load_network
from cad_node.manifest import Manifest, ModelFolder, PartFolder

OWN = "own"  # the key of the model's own network, beside the roles of its parts


@dataclass(frozen=True, slots=True)
class Model:
    """networks: OWN and each role of manifest.parts."""

    manifest: Manifest
    networks: Mapping[str, Network]


def load_model(folder: ModelFolder, device: str, threads: int = 0, *, half: bool = False) -> Model:
    """Open every network on `device` and run its golden case.

    half: 16-bit graphs where there are some.
    Raises ManifestError naming the file and the key; ProviderMissing if the device can't be had.
    """
    folders = {OWN: PartFolder(folder.path, folder.manifest), **folder.parts}
    return Model(folder.manifest, {role: load_network(part, device, threads, half=half) for role, part in folders.items()})
