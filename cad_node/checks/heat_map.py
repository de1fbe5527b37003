"""A Parametric Map compared with the findings' heat, place for place, in patient coordinates."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from cad_node.checks.frames import Slices, frame_values, functional_group, misplaced, slice_indices, stored_bytes
from cad_node.findings import Findings, Heat


def wrong_heat(ds: FileDataset, slices: Slices, findings: Findings) -> Iterator[str]:
    """A sentence for each slice that doesn't show the heat, or shows it elsewhere; where findings overlap, the greater value is right."""
    heats = [finding.heat for finding in findings.findings if finding.heat]
    shown = slice_indices(ds, slices)
    yield from misplaced(ds, slices, shown)
    first = ds.PerFrameFunctionalGroupsSequence[0]
    if functional_group(ds.SharedFunctionalGroupsSequence[0], first, "RealWorldValueMappingSequence") is None:
        yield "it doesn't say what its values mean: RealWorldValueMappingSequence is missing"
    needed = {index for heat in heats for index in range(heat.origin[0], heat.origin[0] + len(heat.values))}
    for index in sorted(needed - set(shown)):
        yield f"slice {index} has heat, but no frame"
    stored, shape = stored_bytes(ds, "FloatPixelData"), (ds.Rows, ds.Columns)
    for frame, index in enumerate(shown):
        values = frame_values(stored, shape, frame, "<f4")
        wrong = _differing(values, heats, index)
        if wrong:
            yield f"slice {index} differs from the findings' heat in {wrong} places"


def _differing(values: NDArray[np.float32], heats: Sequence[Heat], index: int) -> int:
    here = [heat for heat in heats if 0 <= index - heat.origin[0] < len(heat.values)]
    if not here:
        return int(np.count_nonzero(values)) if values.view(np.uint32).any() else 0  # counting floats takes long
    expected = np.full(values.shape, -np.inf, np.float32)
    for heat in here:
        plane = heat.values[index - heat.origin[0]]
        row, column = heat.origin[1:]
        box = expected[row : row + plane.shape[0], column : column + plane.shape[1]]
        np.maximum(box, plane, out=box)
    return int(np.count_nonzero(values != np.where(np.isneginf(expected), 0, expected)))
