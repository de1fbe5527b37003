"""What lies in the body has its tissue on two sides, whatever lies beside the body."""

import numpy as np

from cad_node.imaging.body import inside_body

AIR, LUNG, TISSUE = -1000.0, -860.0, 40.0
SHAPE = (6, 64, 96)


def chest() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(HU of a body of 40 x 70 pixels with two lungs, the lungs, the air behind the body and before a thin board)"""
    hu = np.full(SHAPE, AIR)
    hu[:, 5:45, 13:83] = TISSUE
    lungs, behind = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    lungs[:, 12:38, 18:42] = lungs[:, 12:38, 54:78] = True
    behind[:, 45:58, 13:83] = True
    hu[lungs] = LUNG
    hu[:, 58] = TISSUE
    return hu.astype(np.float32), lungs, behind


def test_lungs_are_inside_and_the_air_over_a_table_is_not():
    hu, lungs, behind = chest()

    inside = inside_body(hu)

    assert inside[lungs].all()
    assert not inside[behind].any()


def test_a_field_of_view_that_cuts_the_sides_off_keeps_the_lungs_inside():
    hu, lungs, _ = chest()

    inside = inside_body(hu[:, :, 24:72])

    assert inside[lungs[:, :, 24:72]].all()


def test_nothing_is_inside_where_there_is_no_tissue():
    assert not inside_body(np.full(SHAPE, AIR, np.float32)).any()
