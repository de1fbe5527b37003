"""How well the lungs are outlined: each patient by the network that never saw them, and where images get too bad."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cad_node.imaging.quality import measure_quality
from cad_node.scope_limits import Scope
from cad_node.training.evaluation.bootstrap import Interval, mean_ci
from cad_node.training.evaluation.dice import dice
from cad_node.training.evaluation.pictures import contact_sheet, robustness_plot
from cad_node.training.evaluation.robustness import Images, Kind, Robustness, measure_robustness, robustness_table
from cad_node.training.lungs.lctsc_masks import FOLDS, SPACING_MM, Case, read_cases
from cad_node.training.lungs.outlines import PARAMETERS, Outlines, as_volume, outline, outline_as_served, outline_slices
from cad_node.training.lungs.reslicing import Slicing
from cad_node.training.metrics import Evaluation, Figure, Picture, Table
from cad_node.training.recipe import Trained

MIN_DICE = 0.95  # below, the model should refuse
LEVELS = {Kind.NOISE: (20, 60, 120, 200), Kind.BLUR: (1, 2, 4), Kind.DOSE: (0.25, 0.1, 0.05)}
WORST = 12  # slices on the contact sheet
VOXEL_ML = float(np.prod(SPACING_MM)) / 1000
WINDOW_HU = (-1200.0, 300.0)
FOLD_NOTE = "each patient by the network that was trained without them"
SLICINGS = {
    "as scanned: 3 mm thick, 9 mm apart": Slicing(9),
    "3 mm apart, interpolated": Slicing(3),
    "1 mm apart, interpolated": Slicing(1),
    "6 mm thick and apart, interpolated and averaged in twos": Slicing(6, (-1.5, 1.5)),
}
SLICES_NOTE = (
    "Dice of the slices that the experts outlined; slices 6 mm apart meet every second of these. "
    "Two of three slices are missing from the data, so what lies between is interpolated linearly: the thin slices test the geometry, "
    "not the noise of thin slices; the thick ones mix in a twelfth of each slice 9 mm away, where a scanner blurs evenly over 6 mm"
)
UNENHANCED_HU = 70.0  # blood without contrast medium is darker; drawn in the gap that the twelve patients leave
ENHANCED_HU = Scope().remark_blood_hu
ENHANCEMENTS = {
    f"up to {UNENHANCED_HU:.0f} HU: no contrast medium": (-np.inf, UNENHANCED_HU),
    f"to {ENHANCED_HU:.0f} HU: a little, or late": (UNENHANCED_HU, ENHANCED_HU),
    "brighter: contrast medium that the node remarks on": (ENHANCED_HU, np.inf),
}
CONTRAST_NOTE = (
    "The data have no headers: contrast medium was told by the node's own measure, the brightest soft tissue in the middle of the chest, "
    f"over the slices that show lung. The limit of {UNENHANCED_HU:.0f} HU was drawn with these patients in view"
)


def evaluate(trained: Trained) -> Evaluation:
    """Out of fold: patient n is outlined by member n modulo the folds. The shipped member, the last, is measured by none of this."""
    cases, _ = read_cases(trained.data, "")
    networks = [trained.networks[index % FOLDS] for index in range(len(cases))]
    outlines = [outline(network, case) for network, case in zip(networks, cases, strict=True)]
    curves = _robustness(networks, cases)
    varied = (_positions(networks, cases), _slices(networks, cases), _contrast(outlines))
    tables = (_patients(outlines), *varied, robustness_table("Worse images, the network alone", curves))
    plots = [robustness_plot(curve, trained.pictures / f"{curve.kind}.png", f"Lungs: {curve.kind}") for curve in curves]
    return Evaluation(_figures(outlines), tables, (*plots, _worst(outlines, trained)), PARAMETERS)


def _figures(outlines: Sequence[Outlines]) -> tuple[Figure, ...]:
    sides = [values for one in outlines if (values := one.dice_of_sides)]
    measured = (
        ("test_dice", "Dice of both lungs, as served", [dice(one.served, one.case.lungs) for one in outlines]),
        ("test_dice_network", "Dice of both lungs, the network alone", [dice(one.by_network, one.case.lungs) for one in outlines]),
        ("test_dice_left", "Dice of the left lung, where the truth parts them", [left for left, _ in sides]),
        ("test_dice_right", "Dice of the right lung, where the truth parts them", [right for _, right in sides]),
    )
    return tuple(_figure(key, name, values) for key, name, values in measured)


def _figure(key: str, name: str, values: Sequence[float]) -> Figure:
    mean, interval = mean_ci(np.array(values))
    return Figure(key, name, "4-fold, by patient", mean, interval, len(values), "patients")


def _patients(outlines: Sequence[Outlines]) -> Table:
    columns = ("patient", "Dice", "network alone", "left", "right", "true ml", "served ml", "network's ml in slices without lung")
    return Table("Patients", FOLD_NOTE, columns, tuple(_patient(one) for one in outlines))


def _patient(one: Outlines) -> tuple[str, ...]:
    truth = one.case.lungs
    agreed = [f"{dice(found, truth):.3f}" for found in (one.served, one.by_network)]
    sides = [f"{value:.3f}" for value in one.dice_of_sides or ()] or ["they touch", "they touch"]
    beyond = one.by_network & ~truth.any(axis=(1, 2), keepdims=True)
    return one.case.patient, *agreed, *sides, *(f"{mask.sum() * VOXEL_ML:.0f}" for mask in (truth, one.served, beyond))


def _positions(networks: Sequence[nn.Module], cases: Sequence[Case]) -> Table:
    """The same scans as if the patients had lain otherwise, or been of another size."""
    variants: dict[str, Callable[[Case], Case]] = {
        "as scanned": lambda case: case,
        "face down": partial(_viewed, axis=1),
        "mirrored": partial(_viewed, axis=2),
        "pixels twice as large": _coarser,
    }
    rows = []
    for name, variant in variants.items():
        values = [_served_dice(network, variant(case)) for network, case in zip(networks, cases, strict=True)]
        rows.append((name, *_mean_and_lowest(values)))
    return Table("Positions", f"As served, {FOLD_NOTE}", ("variant", "Dice (95 % CI)", "lowest"), tuple(rows))


def _viewed(case: Case, axis: int) -> Case:
    return Case(case.patient, np.flip(case.voxels, axis), np.flip(case.lungs, axis))


def _coarser(case: Case) -> Case:
    """As from a scan with twice the pixel spacing, brought back to the network's."""
    count, rows, columns = case.voxels.shape
    means = case.voxels.reshape(count, rows // 2, 2, columns // 2, 2).mean(axis=(2, 4))
    return Case(case.patient, np.repeat(np.repeat(means, 2, 1), 2, 2).astype(np.int16), case.lungs)


def _served_dice(network: nn.Module, case: Case) -> float:
    return dice(outline_as_served(network, case.voxels)[1], case.lungs)


def _slices(networks: Sequence[nn.Module], cases: Sequence[Case]) -> Table:
    """The same scans as if their slices had been thinner or thicker."""
    rows = []
    for name, slicing in SLICINGS.items():
        values = [_resliced_dice(network, case, slicing) for network, case in zip(networks, cases, strict=True)]
        rows.append((name, *_mean_and_lowest(values)))
    return Table("Slices", f"As served, {FOLD_NOTE}. {SLICES_NOTE}", ("variant", "Dice (95 % CI)", "lowest"), tuple(rows))


def _resliced_dice(network: nn.Module, case: Case, slicing: Slicing) -> float:
    """Of the slices that the experts outlined."""
    _, served = outline_as_served(network, slicing.reslice(case.voxels), slicing.apart_mm)
    return dice(slicing.scanned(served), slicing.met(case.lungs))


def _contrast(outlines: Sequence[Outlines]) -> Table:
    """As scanned, by how bright the blood is."""
    blood_hu = np.array([_blood_hu(one.case) for one in outlines])
    values = np.array([dice(one.served, one.case.lungs) for one in outlines])
    rows = []
    for name, (low, high) in ENHANCEMENTS.items():
        of = (blood_hu > low) & (blood_hu <= high)
        range_hu = f"{blood_hu[of].min():.0f} to {blood_hu[of].max():.0f}" if of.any() else ""
        rows.append((name, str(of.sum()), range_hu, *_mean_and_lowest(values[of])))
    columns = ("blood in the middle of the chest", "patients", "their blood, HU", "Dice (95 % CI)", "lowest")
    return Table("Contrast medium", f"As scanned and as served, {FOLD_NOTE}. {CONTRAST_NOTE}", columns, tuple(rows))


def _blood_hu(case: Case) -> float:
    """NaN where there is too little soft tissue to tell."""
    shown = np.flatnonzero(case.lungs.any(axis=(1, 2)))
    blood_hu = measure_quality(as_volume(case.voxels[shown[0] : shown[-1] + 1])).blood_hu
    return np.nan if blood_hu is None else blood_hu


def _mean_and_lowest(values: Sequence[float] | NDArray[np.float64]) -> tuple[str, str]:
    """Of one patient there is no interval, of none nothing."""
    if not len(values):
        return "", ""
    mean, (low, high) = mean_ci(np.asarray(values))
    return f"{mean:.3f} ({low:.3f} to {high:.3f})" if len(values) > 1 else f"{mean:.3f}", f"{min(values):.3f}"


def _robustness(networks: Sequence[nn.Module], cases: Sequence[Case]) -> tuple[Robustness, ...]:
    """Of the slices that show lung."""
    shown = [case.lungs.any(axis=(1, 2)) for case in cases]
    inputs = np.concatenate([case.voxels[chosen] for case, chosen in zip(cases, shown, strict=True)])[:, None]
    ends = np.cumsum([chosen.sum() for chosen in shown])[:-1]

    def judge(degraded: Images) -> tuple[float, Interval]:
        parts: list[NDArray[np.float32]] = np.split(degraded, ends)
        found = (outline_slices(network, part)[:, 0] for network, part in zip(networks, parts, strict=True))
        truths = (case.lungs[chosen] for case, chosen in zip(cases, shown, strict=True))
        return mean_ci(np.array([dice(a, b) for a, b in zip(found, truths, strict=True)]))

    return measure_robustness(inputs, judge, LEVELS, statistic="Dice", limit=MIN_DICE, pixel_mm=SPACING_MM[2])


def _worst(outlines: Sequence[Outlines], trained: Trained) -> Picture:
    """The slices with the most wrong pixels, as served, at most two of a patient."""
    wrong = [(int(plane.sum()), one, index) for one in outlines for index, plane in enumerate(one.served ^ one.case.lungs)]
    chosen: list[tuple[Outlines, int]] = []
    for _, one, index in sorted(wrong, key=lambda row: -row[0]):
        if sum(other is one for other, _ in chosen) < 2 and len(chosen) < WORST:
            chosen.append((one, index))
    return contact_sheet(
        [one.case.voxels[index] for one, index in chosen],
        [f"{one.case.patient}, slice {index}: {dice(one.served[index], one.case.lungs[index]):.2f}" for one, index in chosen],
        trained.pictures / "worst_slices.png",
        "Lungs: the slices with the most wrong pixels",
        window=WINDOW_HU,
        outlines={"experts": [one.case.lungs[index] for one, index in chosen], "served": [one.served[index] for one, index in chosen]},
    )
