"""Draws pictures of the documents: the README's, of what the archive received in `make demo`; and a nodule's heat, of the phantom as well.

python docs/picture.py [DEMO_OUT]
"""

import sys
import tempfile
import uuid
from datetime import UTC, datetime
from pathlib import Path

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import Dataset

from cad_node.app.worker import TASKS
from cad_node.inference.model import load_model
from cad_node.manifest import newest_version, read_model
from cad_node.output.builder import Run
from cad_node.output.sc import build_sc
from cad_node.phantom import phantom_study
from cad_node.pipeline import find, prepare
from cad_node.shipped import shipped
from cad_node.study import Instance, Series, Study

NODULES, SIZE_PX = 3, 360
DOCS = Path(__file__).parent


def main(out: str = "build/demo") -> None:
    _overlays(Path(out), DOCS / "demo.png")
    _heat(DOCS / "heat.png")


def _heat(picture: Path) -> None:
    """The Secondary Capture's page of the likeliest nodule."""
    model = load_model(read_model(newest_version(shipped("models") / "lung_nodule_ct")), "cpu", 2)
    with tempfile.TemporaryDirectory() as folder:
        instances = []
        for number, ds in enumerate(phantom_study().datasets):
            path = Path(folder) / f"{number}.dcm"
            ds.save_as(path, enforce_file_format=True)
            instances.append(Instance(ds.SOPInstanceUID, ds.SOPClassUID, ds.file_meta.TransferSyntaxUID, path))
        study = Study(ds.StudyInstanceUID, 1, (Series(ds.SeriesInstanceUID, "CT", tuple(instances)),))
        volume = prepare(study, ds.SeriesInstanceUID, model.manifest)
    findings = find(volume, model.manifest, model.networks, TASKS)
    (capture,) = build_sc(volume, findings, Run(uuid.UUID(int=1), model.manifest, datetime(2026, 1, 1, tzinfo=UTC), "2.25.1", "0"))
    Image.fromarray(capture.pixel_array[1]).quantize(256).save(picture, optimize=True)


def _overlays(out: Path, picture: Path) -> None:
    (file,) = out.glob("SEG-*.dcm")
    segmentation = hd.seg.segread(file)
    slices = {ds.SOPInstanceUID: ds for ds in phantom_study().datasets}
    tiles = [_tile(segmentation, number, slices) for number in range(1, NODULES + 1)]
    Image.fromarray(np.hstack(tiles)).save(picture, optimize=True)


def _tile(segmentation: hd.seg.Segmentation, number: int, slices: dict[str, Dataset]) -> NDArray[np.uint8]:
    """The slice on which segment `number` is largest, with every segment in its own colour."""
    uids = [str(uid) for _, _, uid in segmentation.get_source_image_uids()]
    pixels = segmentation.get_pixels_by_source_instance(uids, segment_numbers=[number], assert_missing_frames_are_empty=True)[..., 0]
    uid = uids[int(pixels.sum(axis=(1, 2)).argmax())]
    source = slices[uid]
    grey = np.clip((source.pixel_array.astype(np.float32) + source.RescaleIntercept + 1000) / 1400 * 255, 0, 255)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    label = ""
    for segment in segmentation.get_segment_numbers():
        masks = segmentation.get_pixels_by_source_instance([uid], segment_numbers=[segment], assert_missing_frames_are_empty=True)
        inside = masks[0, ..., 0] > 0
        description = segmentation.get_segment_description(segment)
        is_nodule = str(description.SegmentLabel).startswith("Nodule")
        colour = hd.color.CIELabColor.from_dicom_value(description.RecommendedDisplayCIELabValue).to_rgb()
        rgb[inside] += (np.array(colour) - rgb[inside]) * (0.75 if is_nodule else 0.12)
        label += f"{description.SegmentLabel}  " if is_nodule and inside.any() else ""
    tile = Image.fromarray(rgb.astype(np.uint8)).crop((30, 90, 482, 450)).resize((SIZE_PX, SIZE_PX * 360 // 452))
    ImageDraw.Draw(tile).text((8, 6), label, fill="white")
    return np.asarray(tile)


if __name__ == "__main__":
    main(*sys.argv[1:])
