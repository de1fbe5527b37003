"""The models that can be trained: name -> network, data and texts. A new one is one more entry here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cad_node.errors import CadNodeError
from cad_node.training import luna_patches
from cad_node.training.golden_patches import nodule_golden_patches
from cad_node.training.nodule_network import NoduleNetwork
from cad_node.training.patch_set import PatchSet, Split


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a patch classifier is made from.

    network: HU patches -> logits, preprocessing inside.
    read_split: (source, split, SHA-256 expected or empty) -> patches.
    sha256: of the published data; without an entry any data is taken, for instance a user's own.
    golden_patches: made by the project, never anyone's data.
    texts: folder of model.toml and MODEL_CARD.md with ${places} that the export fills.
    """

    name: str
    network: Callable[[], nn.Module]
    read_split: Callable[[Path, Split, str], PatchSet]
    sha256: Mapping[Split, str]
    golden_patches: Callable[[], NDArray[np.float32]]
    texts: Path

    def read(self, source: Path, split: Split) -> PatchSet:
        return self.read_split(source, split, self.sha256.get(split, ""))


class UnknownRecipe(CadNodeError):
    """No model of this name can be trained."""


def find_recipe(name: str) -> Recipe:
    try:
        return RECIPES[name]
    except KeyError:
        raise UnknownRecipe(f"{name}: no such trainable model; there is {', '.join(sorted(RECIPES))}") from None


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="lung_nodule_ct",
            network=NoduleNetwork,
            read_split=luna_patches.read_split,
            sha256=luna_patches.SHA256,
            golden_patches=nodule_golden_patches,
            texts=Path(__file__).parent / "lung_nodule_ct",
        ),
    )
}
