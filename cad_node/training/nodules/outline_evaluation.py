"""How near outlines come to the readers', on patients that the network has never seen."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cad_node.training.evaluation.bootstrap import Interval, mean_ci
from cad_node.training.evaluation.pictures import contact_sheet, robustness_plot
from cad_node.training.evaluation.robustness import Robustness, measure_robustness, robustness_table
from cad_node.training.evaluation.subgroups import ranges, subgroup_table
from cad_node.training.metrics import Evaluation, Figure, Picture, Table
from cad_node.training.nodules.outline_samples import outline_dice, read_outlines
from cad_node.training.nodules.readers_words import texture_words
from cad_node.training.nodules.served import ServedOutline, run_served
from cad_node.training.recipe import Trained
from cad_node.training.samples import Samples, Split

THRESHOLDS = np.linspace(0.3, 0.7, 17)
LEVELS: Mapping[str, tuple[float, ...]] = {
    "noise": (25, 50, 100, 150),
    "blur": (0.5, 1.0, 1.5, 2.0),
    "thickness": (3,),
    "dose": (0.5, 0.25, 0.1, 0.05),
}
PIXEL_MM = 0.7  # about what the set's pixels measure
LIMIT = 0.75  # Dice below which outlines aren't worth having: readers agree better with each other
MIDDLE_SLICES = 3  # of each nodule, in the robustness curves
WORST = 12

Shares = NDArray[np.float32]


def evaluate_outlines(trained: Trained) -> Evaluation:
    """The threshold with the best mean Dice on validation, its Dice on test, subgroups, robustness on validation, the worst cases."""
    served = ServedOutline(trained.networks, {})
    validation = read_outlines(trained.data, Split.VALIDATION)
    shares = run_served(served, ["nodule"], validation.inputs)["nodule"]
    threshold = float(max(THRESHOLDS, key=lambda value: outline_dice(shares, validation, value).mean()))
    curves = _robustness(served, _middles(validation), threshold)
    test = read_outlines(trained.data, Split.TEST)
    test_shares = run_served(served, ["nodule"], test.inputs)["nodule"]
    dice = outline_dice(test_shares, test, threshold)
    nodules = _first_slabs(test)
    return Evaluation(
        figures=(
            _figure("validation_dice", "Dice", Split.VALIDATION, outline_dice(shares, validation, threshold), _first_slabs(validation)),
            *_figures(dice, nodules),
        ),
        tables=(_subgroups(dice, nodules), robustness_table("Outlines of degraded slices (validation patients)", curves)),
        pictures=(
            *(
                robustness_plot(curve, trained.pictures / f"robustness_{curve.kind}.png", f"Outline against {curve.kind}")
                for curve in curves
            ),
            _worst(test, test_shares >= threshold, dice, trained),
        ),
        parameters={"threshold": threshold},
    )


def _first_slabs(samples: Samples) -> Samples:
    """One slab of each nodule: for what is said of nodules, not of slices."""
    return samples.take(np.unique(samples.attributes["nodule"], return_index=True)[1])


def _middles(samples: Samples) -> Samples:
    numbers = samples.attributes["nodule"]
    slices = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
    return samples.take(np.concatenate([which[(len(which) - 1) // 2 :][:MIDDLE_SLICES] for which in slices]))


def _robustness(served: ServedOutline, samples: Samples, threshold: float) -> tuple[Robustness, ...]:
    patients = _first_slabs(samples).patients

    def judge(inputs: NDArray[np.float32]) -> tuple[float, Interval]:
        return mean_ci(outline_dice(run_served(served, ["nodule"], inputs)["nodule"], samples, threshold), patients)

    return measure_robustness(samples.inputs, judge, LEVELS, statistic="mean Dice", limit=LIMIT, pixel_mm=PIXEL_MM)


def _figures(dice: NDArray[np.float64], nodules: Samples) -> tuple[Figure, ...]:
    """Of all test nodules, of solid and sub-solid ones apart, and beside them the readers among themselves."""
    solid = nodules.attributes["texture"] >= 4.5
    readers = nodules.attributes["readers_dice"]
    parts = {"solid": solid, "sub-solid": ~solid}
    return (
        _figure("test_dice", "Dice, mean of nodules in 3-D", Split.TEST, dice, nodules),
        *(
            _figure(f"test_dice_{name}", f"Dice, {name} nodules", Split.TEST, dice[part], nodules.take(np.flatnonzero(part)))
            for name, part in parts.items()
        ),
        _figure("test_readers_dice", "Readers among themselves, mean Dice of pairs", Split.TEST, readers, nodules),
    )


def _figure(key: str, name: str, split: Split, values: NDArray[np.float64], nodules: Samples) -> Figure:
    value, interval = mean_ci(values, nodules.patients)
    return Figure(key, name, split, value, interval, len(values), f"nodules of {len(set(nodules.patients))} patients")


def _subgroups(dice: NDArray[np.float64], nodules: Samples) -> Table:
    attributes = nodules.attributes
    groups = {
        "texture (median of readers)": texture_words(attributes["texture"]),
        "diameter of the consensus": ranges(attributes["diameter_mm"], (6, 10, 20), "mm"),
        "slice thickness": ranges(attributes["slice_thickness_mm"], (1.5, 2.6), "mm"),
    }
    note = "The set tells no manufacturer. Intervals by patient."
    return subgroup_table("Dice on test patients", groups, (dice,), mean_ci, patients=nodules.patients, note=note)


def _worst(test: Samples, found: NDArray[np.bool_], dice: NDArray[np.float64], trained: Trained) -> Picture:
    """The middle slice of the nodules with the lowest Dice."""
    numbers = test.attributes["nodule"]
    worst = np.unique(numbers)[np.argsort(dice)[:WORST]]
    middles = [int(np.flatnonzero(numbers == number)[(numbers == number).sum() // 2]) for number in worst]
    return contact_sheet(
        [test.inputs[index, 1] for index in middles],
        [f"Dice {value:.2f}" for value in np.sort(dice)[:WORST]],
        trained.pictures / "worst.png",
        "The nodules outlined worst",
        window=(-1000, 400),
        outlines={
            "model": [found[index, 0] for index in middles],
            "readers": [test.targets["nodule"][index, 0] >= 0.5 for index in middles],
        },
    )
