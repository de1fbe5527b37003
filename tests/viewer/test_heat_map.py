"""The Parametric Map as OHIF fuses it with the CT."""

import numpy as np
from scipy import ndimage

from cad_node.findings import Region
from tests.viewer.overlays import expected

NEAR_PX = 4  # of the screen: interpolation at the edge
COLOURED = 40  # difference of the channels from which a pixel isn't grey


def test_heat_is_drawn_in_colour_where_it_lies_and_nowhere_else(open_object, archived):
    nodules = archived["nodules"].case
    heats = [Region(one.heat.origin, one.heat.values > 0) for one in nodules.findings.findings]
    viewer = open_object("nodules", "pmap")

    for finding in nodules.findings.findings:
        index = finding.region.origin[0] + len(finding.region.mask) // 2
        viewer.show_slice(nodules.volume.to_lps((index, 0, 0))[2])
        picture = viewer.picture().astype(int)
        coloured = picture.max(axis=2) - picture.min(axis=2) > COLOURED
        warm = np.logical_or.reduce([expected(viewer, nodules.volume, one, index, picture.shape[:2]) for one in heats])
        assert not (coloured & ~ndimage.binary_dilation(warm, iterations=NEAR_PX)).any(), finding.label
        column, row = viewer.to_canvas([nodules.volume.to_lps((index, *_middle(finding.region)))])[0].round().astype(int)
        assert coloured[row - 3 : row + 4, column - 3 : column + 4].all(), finding.label


def _middle(region):
    """(row, column) index of its box's middle."""
    return [origin + (size - 1) / 2 for origin, size in zip(region.origin[1:], region.mask.shape[1:], strict=True)]
