import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from cad_node.training.evaluation.froc import Marks, froc, froc_table


def marks(*rows: tuple[str, float, float]) -> Marks:
    """(scan, x, diameter or score)"""
    return Marks(
        np.array([row[0] for row in rows]),
        np.array([(row[1], 0.0, 0.0) for row in rows]).reshape(-1, 3),
        np.array([row[2] for row in rows], dtype=float),
    )


def test_several_hits_of_a_nodule_count_once_and_are_no_false_positives():
    nodules, detections = marks(("a", 0, 10)), marks(("a", 1, 0.9), ("a", -2, 0.8), ("a", 4.9, 0.7))

    measured = froc(["a"], nodules, detections)

    assert [point.sensitivity for point in measured.points] == [1.0] * 7
    assert measured.false_positives.max() == 0


def test_a_detection_at_the_radius_misses():
    measured = froc(["a"], marks(("a", 0, 10)), marks(("a", 5, 0.9)))

    assert measured.sensitivity.max() == 0
    assert measured.false_positives.max() == 1


def test_a_detection_in_an_excluded_finding_counts_neither_way():
    nodules, excluded = marks(("a", 0, 10)), marks(("a", 50, 6), ("a", 90, -1))
    detections = marks(("a", 0, 0.5), ("a", 51, 0.9), ("a", 94, 0.8), ("a", 96, 0.7))

    measured = froc(["a"], nodules, detections, excluded)

    assert measured.false_positives.max() == 1  # 96 is beyond the 5 mm that an unknown diameter stands for
    assert measured.sensitivity.max() == 1


def test_a_nodule_inside_an_excluded_finding_is_still_found():
    measured = froc(["a"], marks(("a", 0, 10)), marks(("a", 0, 0.9)), marks(("a", 0, 20)))

    assert measured.sensitivity.max() == 1


def test_a_nodule_is_found_only_in_its_own_scan():
    measured = froc(["a", "b"], marks(("a", 0, 10)), marks(("b", 0, 0.9)))

    assert measured.sensitivity.max() == 0
    assert measured.false_positives.max() == 0.5


def test_operating_points_name_the_score_from_which_detections_count():
    nodules = marks(("a", 0, 10), ("b", 0, 10))
    detections = marks(("a", 0, 0.9), ("a", 50, 0.8), ("b", 0, 0.7), ("b", 50, 0.6), ("b", 70, 0.5))

    measured = froc(["a", "b"], nodules, detections)

    threshold, sensitivity = (
        {point.false_positives: getattr(point, name) for point in measured.points} for name in ("threshold", "sensitivity")
    )
    assert (threshold[0.25], threshold[0.5], threshold[1.0], threshold[8.0]) == (0.9, 0.7, 0.6, 0.5)
    assert (sensitivity[0.25], sensitivity[0.5]) == (0.5, 1.0)


def test_no_detections_at_all_find_nothing():
    measured = froc(["a", "b"], marks(("a", 0, 10)), marks())

    assert measured.cpm == (0.0, (0.0, 0.0))
    assert measured.points[0].threshold == np.inf


def test_marks_of_a_scan_that_was_not_searched_are_refused():
    with pytest.raises(ValueError, match="scan b, which isn't among the 1 searched"):
        froc(["a"], marks(("b", 0, 10)), marks())


def test_published_detections_of_luna16_give_the_published_curve():
    if "CAD_NODE_DATA" not in os.environ:
        pytest.skip("CAD_NODE_DATA is unset: the folder of real data sets")
    folder = Path(os.environ["CAD_NODE_DATA"]) / "luna16_froc"
    scans = gzip.decompress((folder / "luna16_uids.csv.gz").read_bytes()).decode().split()
    nodules, excluded = (read_marks(folder / f"luna16_{name}.csv.gz", "diameter_mm") for name in ("ann", "exc"))
    detections = read_marks(folder / "deeplung_dpn26_luna16.csv.gz", "probability")

    measured = froc(scans, nodules, detections, excluded)

    assert (measured.scans, measured.nodules) == (888, 1186)
    assert [point.sensitivity for point in measured.points] == pytest.approx([0.692, 0.769, 0.824, 0.865, 0.893, 0.917, 0.934], abs=0.002)
    cpm, (low, high) = measured.cpm
    assert cpm == pytest.approx(0.842, abs=0.002)
    assert low < cpm < high
    assert high - low < 0.1
    assert froc_table(measured, "DeepLung").rows[3][:2] == (
        "1",
        f"0.865 ({measured.points[3].ci95[0]:.3f} to {measured.points[3].ci95[1]:.3f})",
    )


def read_marks(file: Path, value: str) -> Marks:
    with gzip.open(file, "rt") as stream:
        rows = list(csv.DictReader(stream))
    return Marks(
        np.array([row["seriesuid"] for row in rows]),
        np.array([[float(row[f"coord{axis}"]) for axis in "XYZ"] for row in rows]),
        np.array([float(row[value]) for row in rows]),
    )
