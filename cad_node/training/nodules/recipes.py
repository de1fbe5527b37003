"""The two nodule models that can be trained from readers' outlines and ratings."""

from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import expit

from cad_node.imaging.nodule_slabs import JUDGEMENT_PX, OUTLINE_PX
from cad_node.training.nodules.golden_slabs import golden_slabs
from cad_node.training.nodules.judgement_evaluation import evaluate_judgements
from cad_node.training.nodules.judgement_folds import MEMBERS
from cad_node.training.nodules.judgement_network import JudgementNetwork
from cad_node.training.nodules.judgement_samples import read_judgements
from cad_node.training.nodules.judgement_training import judgement_loss, judgement_score, vary_judgements
from cad_node.training.nodules.outline_evaluation import evaluate_outlines
from cad_node.training.nodules.outline_network import OutlineNetwork
from cad_node.training.nodules.outline_samples import outline_dice, read_outlines
from cad_node.training.nodules.outline_training import outline_loss, vary_outlines
from cad_node.training.nodules.served import JUDGEMENT_OUTPUTS, ServedJudgement, ServedOutline
from cad_node.training.recipe import Predictions, Recipe
from cad_node.training.samples import Samples

_TEXTS = Path(__file__).parent / "texts"


def _mean_dice(predictions: Predictions, samples: Samples) -> float:
    return float(np.mean(outline_dice(expit(predictions["nodule"]), samples)))


NODULE_SEGMENTATION = Recipe(
    name="nodule_segmentation_ct",
    read=read_outlines,
    network=OutlineNetwork,
    augment=vary_outlines,
    loss=outline_loss,
    score=_mean_dice,
    evaluate=evaluate_outlines,
    served=ServedOutline,
    input="slabs",
    outputs=("nodule",),
    axes={0: "batch"},
    golden=partial(golden_slabs, OUTLINE_PX),
    texts=_TEXTS / "nodule_segmentation_ct",
    batch=32,
    learning_rate=2e-3,
    epochs=24,
)

NODULE_MALIGNANCY = Recipe(
    name="nodule_malignancy_ct",
    read=read_judgements,
    network=JudgementNetwork,
    augment=vary_judgements,
    loss=judgement_loss,
    score=judgement_score,
    evaluate=evaluate_judgements,
    served=ServedJudgement,
    input="slabs",
    outputs=JUDGEMENT_OUTPUTS,
    axes={0: "batch"},
    golden=partial(golden_slabs, JUDGEMENT_PX),
    texts=_TEXTS / "nodule_malignancy_ct",
    members=MEMBERS,
    batch=32,
    learning_rate=2e-3,
    epochs=8,
)
