"""What of a screenshot is an object's overlay, and where it should be."""

import numpy as np
from numpy.typing import NDArray

from cad_node.findings import Region
from cad_node.imaging.volume import Volume
from cad_node.output.colours import RGB
from tests.viewer.browser import Viewer

Mask = NDArray[np.bool_]  # (row, column) of the picture

_REPRESENTED = """() => window.services?.segmentationService?.getSegmentations()
  .some(one => window.services.segmentationService.getRepresentationsForSegmentation(one.segmentationId).length > 0)"""
_SHOW = """([segment, visible]) => {
  const service = window.services.segmentationService;
  for (const one of service.getSegmentations())
    for (const place of window.services.viewportGridService.getState().viewports.keys())
      service.setSegmentVisibility(place, one.segmentationId, segment, visible);
}"""
_SEGMENTS = """() => {
  const service = window.services.segmentationService;
  const place = window.services.viewportGridService.getActiveViewportId();
  const {segmentationId, segments} = service.getSegmentations()[0];
  return Object.values(segments).filter(one => one?.segmentIndex > 0).map(one =>
    [one.label, ...service.getSegmentColor(place, segmentationId, one.segmentIndex).slice(0, 3)]);
}"""


def wait_for_segments(viewer: Viewer) -> None:
    viewer.wait_for(_REPRESENTED)


def segments(viewer: Viewer) -> list[tuple[str, RGB]]:
    """Name and colour of each, in their order; a label map's background is number 0, and left out."""
    return [(label, (red, green, blue)) for label, red, green, blue in viewer.ask(_SEGMENTS)]


def drawn(viewer: Viewer, segment: int) -> tuple[Mask, RGB]:
    """Where hiding a segment changes the picture, and the mean of what it adds there, by which its colour shows."""
    shown = viewer.picture()
    viewer.ask(_SHOW, [segment, False])
    hidden = viewer.picture()
    viewer.ask(_SHOW, [segment, True])
    changed = (shown != hidden).any(axis=2)
    return changed, tuple(shown[changed].mean(axis=0)) if changed.any() else (0, 0, 0)


def expected(viewer: Viewer, volume: Volume, region: Region, slice_index: int, shape: tuple[int, int]) -> Mask:
    """Where the region lies in the picture: each pixel's middle goes back to the voxel that it shows."""
    rows, columns = shape
    corners = [volume.to_lps((slice_index, 0, 0)), volume.to_lps((slice_index, 100, 0)), volume.to_lps((slice_index, 0, 100))]
    origin, along_row, along_column = viewer.to_canvas(corners)
    to_voxel = np.linalg.inv(np.column_stack([along_row - origin, along_column - origin]) / 100)
    pixels = np.stack(np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5), axis=-1)
    index = np.rint((pixels - origin) @ to_voxel.T).astype(int)
    place = slice_index - region.origin[0]
    seen = np.zeros((rows, columns), np.bool_)
    if 0 <= place < len(region.mask):
        inside = np.logical_and.reduce(
            [
                (index[..., a] - region.origin[1 + a] >= 0) & (index[..., a] - region.origin[1 + a] < region.mask.shape[1 + a])
                for a in (0, 1)
            ]
        )
        seen[inside] = region.mask[place][tuple((index[inside] - region.origin[1:]).T)]
    return seen
