"""What each place added to a score: from what the network was shown back to the source's voxels.

Values are logits per square centimetre, so that they don't hang on a grid: their integral over what the network saw of a slice is the
score's logit, but for a constant of the model.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from cad_node.findings import Heat, Region
from cad_node.imaging.nodule_slabs import JUDGEMENT_MM, judgement_view, planes_on_source
from cad_node.imaging.patches import patch_corner
from cad_node.imaging.volume import Volume

PER_CM2 = Code("/cm2", "UCUM", "per square centimetre")
MM2_PER_CM2 = 100.0


def heat_of_judgement(volume: Volume, region: Region, added: NDArray[np.float32], meaning: Code) -> Heat:
    """Of a judgement slab's one map for its three slices: the same on all slices from the first to the last that was looked at.

    added: (48, 48) what each pixel of the slab adds to the logit.
    """
    depths, middle, step = judgement_view(volume.spacing_mm, region)
    (row, column), (plane,) = planes_on_source(added[None] * np.float32(MM2_PER_CM2 / JUDGEMENT_MM**2), middle, step, volume.voxels.shape)
    values = np.repeat(plane[None], depths[-1] - depths[0] + 1, axis=0)
    return Heat((depths[0], row, column), values, meaning, PER_CM2)


def heat_of_patches(volume: Volume, centres: Sequence[tuple[float, float, float]], added: NDArray[np.float32], meaning: Code) -> Heat:
    """Of patches of one candidate on several slices: each on its own slice as it is, linear from slice to slice between them.

    centres: (slice, row, column) by rising slice, as they were cut; added: (N, P, P) what each pixel of a patch adds to its logit.
    """
    slices, rows, columns = volume.voxels.shape
    planes = [round(centre[0]) for centre in centres]
    top, left = patch_corner(centres[0], added.shape[-1])
    low, y, x = max(0, planes[0]), max(0, top), max(0, left)
    between = np.arange(low, min(slices - 1, planes[-1]) + 1)
    shares = np.stack([np.interp(between, planes, own) for own in np.eye(len(planes))], axis=1)
    inside = added[:, y - top : rows - top, x - left : columns - left]
    _, row_mm, column_mm = volume.spacing_mm
    values = np.tensordot(shares, inside * (MM2_PER_CM2 / (row_mm * column_mm)), 1)
    return Heat((low, y, x), values.astype(np.float32), meaning, PER_CM2)
