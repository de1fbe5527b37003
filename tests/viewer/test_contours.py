"""An RT Structure Set's contours as OHIF draws them."""

import numpy as np
import pytest
from scipy import ndimage

from cad_node.output.colours import finding_colour
from tests.viewer.overlays import expected, wait_for_segments

NEAR_PX = 4  # of the screen: the width of the line
ALIKE = 48  # of 255 in each channel: the line's edge is mixed with what lies under it


@pytest.mark.parametrize("number", [1, 3])  # orange and green: the second's blue is that of the viewer's own words
def test_a_contour_runs_around_its_nodule_and_nowhere_else(number, open_object, archived):
    nodules = archived["nodules"].case
    finding = nodules.findings.findings[number - 1]
    index = finding.region.origin[0] + len(finding.region.mask) // 2
    viewer = open_object("nodules", "rtstruct")
    wait_for_segments(viewer)

    viewer.show_slice(nodules.volume.to_lps((index, 0, 0))[2])
    shape = viewer.picture().shape[:2]
    row, column = viewer.image_corner()
    seen = (np.abs(viewer.screen().astype(int) - finding_colour(number)) < ALIKE).all(axis=2)[
        row : row + shape[0], column : column + shape[1]
    ]
    nodule = expected(viewer, nodules.volume, finding.region, index, shape)
    rim = ndimage.binary_dilation(nodule, iterations=NEAR_PX) & ~ndimage.binary_erosion(nodule, iterations=NEAR_PX)

    assert not (seen & ~rim).any()
    assert seen.sum() > np.sqrt(np.pi * nodule.sum())  # half of a disc's circumference; the line's edges are mixed with what lies beside it
