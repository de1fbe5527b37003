"""Segmentations as OHIF draws them: on the nodules, in our colours, under our names."""

import numpy as np
import pytest
from scipy import ndimage

from cad_node.output.colours import finding_colour, organ_colour
from tests.viewer.overlays import drawn, expected, segments, wait_for_segments

EDITIONS = [("seg", ""), ("seg", "all-frames"), ("labelmap", "")]
NEAR_PX = 3  # of the screen: the width of the outline


@pytest.fixture(scope="module")
def nodules(archived):
    return archived["nodules"].case


@pytest.mark.parametrize(("builder", "edition"), EDITIONS)
def test_each_nodule_is_drawn_where_it_lies_and_on_no_other_slice(builder, edition, open_object, nodules):
    viewer = open_object("nodules", builder, edition)
    wait_for_segments(viewer)

    for number, finding in enumerate(nodules.findings.findings, 1):
        first = finding.region.origin[0]
        last = first + len(finding.region.mask) - 1
        for index in (first - 1, first, (first + last) // 2):
            viewer.show_slice(nodules.volume.to_lps((index, 0, 0))[2])
            seen, _ = drawn(viewer, number)
            wanted = expected(viewer, nodules.volume, finding.region, index, seen.shape)
            assert not (seen & ~ndimage.binary_dilation(wanted, iterations=NEAR_PX)).any(), (finding.label, index)
            assert (seen & wanted).sum() >= 0.95 * wanted.sum(), (finding.label, index)


@pytest.mark.parametrize(("builder", "edition"), EDITIONS)
def test_segments_have_our_names_and_colours(builder, edition, open_object, nodules):
    viewer = open_object("nodules", builder, edition)
    wait_for_segments(viewer)

    shown = segments(viewer)

    found = [(finding.label, finding_colour(number)) for number, finding in enumerate(nodules.findings.findings, 1)]
    found += [(organ.label, organ_colour(number)) for number, organ in enumerate(nodules.findings.organs, 1)]
    assert [label for label, _ in shown] == [label for label, _ in found]
    assert np.abs(np.subtract([colour for _, colour in shown], [colour for _, colour in found])).max() <= 2
