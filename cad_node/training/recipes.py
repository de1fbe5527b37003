"""What a trainable model is made from, and the models that can be trained: a new one is one more entry here."""

from cad_node.errors import CadNodeError
from cad_node.training.detection.recipes import LUNG_NODULE, LUNG_NODULE_LIDC
from cad_node.training.images.recipes import IMAGE_CLASSIFIER
from cad_node.training.lungs.recipe import LUNG_SEGMENTATION_CT
from cad_node.training.nodules.recipes import NODULE_MALIGNANCY, NODULE_SEGMENTATION
from cad_node.training.recipe import Recipe


class UnknownRecipe(CadNodeError):
    """No model of this name can be trained."""


def find_recipe(name: str) -> Recipe:
    try:
        return RECIPES[name]
    except KeyError:
        raise UnknownRecipe(f"{name}: no such trainable model; there is {', '.join(sorted(RECIPES))}") from None


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (LUNG_SEGMENTATION_CT, LUNG_NODULE, LUNG_NODULE_LIDC, NODULE_SEGMENTATION, NODULE_MALIGNANCY, IMAGE_CLASSIFIER)
}
