import numpy as np

from cad_node.training.evaluation.bootstrap import mean_ci
from cad_node.training.evaluation.curves import roc_auc
from cad_node.training.evaluation.subgroups import ranges, subgroup_table


def test_each_value_has_a_row_with_its_own_mean_in_rising_order():
    diameters, dice = np.array([12.0, 25.0, 3.0, 4.0, np.nan]), np.array([0.8, 0.9, 0.5, 0.5, 0.1])

    table = subgroup_table("Dice", {"diameter": ranges(diameters, [6, 20], "mm")}, (dice,), mean_ci)

    assert [row[:3] for row in table.rows] == [
        ("all", "", "5"),
        ("diameter", "under 6 mm", "2"),
        ("diameter", "6 to 20 mm", "1"),
        ("diameter", "from 20 mm", "1"),
    ]
    assert table.rows[1][3] == "0.500 (0.500 to 0.500)"


def test_a_part_with_one_class_has_no_area():
    labels, scores = np.array([0, 1, 0, 1, 1]), np.array([0.1, 0.9, 0.2, 0.8, 0.7])

    table = subgroup_table("ROC", {"texture": np.array(["solid"] * 4 + ["part-solid"])}, (labels, scores), roc_auc)

    assert [row[1:] for row in table.rows[1:]] == [("part-solid", "1", "not defined"), ("solid", "4", "1.000 (1.000 to 1.000)")]


def test_patients_are_drawn_whole_in_each_part():
    values, patients = np.repeat([0.0, 1.0, 0.0, 1.0], 20), np.repeat(["a", "b", "c", "d"], 20)

    table = subgroup_table("mean", {"half": np.repeat(["first", "second"], 40)}, (values,), mean_ci, patients=patients)

    assert table.rows[1][3] == "0.500 (0.000 to 1.000)"
