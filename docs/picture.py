"""Draws pictures of the documents: the README's, of what the archive received in `make demo`; a nodule's heat and surfaces, of the phantom.

python docs/picture.py [DEMO_OUT]
"""

import io
import sys
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import highdicom as hd
import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom import Dataset
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation
from trimesh.sample import sample_surface

from cad_node.app.worker import TASKS
from cad_node.findings import Findings
from cad_node.imaging.volume import Volume
from cad_node.inference.model import load_model
from cad_node.manifest import newest_version, read_model
from cad_node.output.builder import Run
from cad_node.output.sc import build_sc
from cad_node.output.stl import build_stl
from cad_node.phantom import phantom_study
from cad_node.pipeline import find, prepare
from cad_node.shipped import shipped
from cad_node.study import Instance, Series, Study

NODULES, SIZE_PX = 3, 360
SURFACES, SURFACES_PX, SAMPLES_PER_PX = 5, 520, 12
GLASS = (112, 138, 168)  # the lungs among the surfaces
DOCS = Path(__file__).parent


def main(out: str = "build/demo") -> None:
    _overlays(Path(out), DOCS / "demo.png")
    volume, findings, run = _analysed()
    _heat(volume, findings, run, DOCS / "heat.png")
    likeliest = replace(findings, findings=findings.findings[:SURFACES])
    _surfaces(build_stl(volume, likeliest, run), DOCS / "outputs" / "stl.png")


def _analysed() -> tuple[Volume, Findings, Run]:
    """The phantom, and what the shipped model finds in it."""
    model = load_model(read_model(newest_version(shipped("models") / "lung_nodule_ct")), "cpu", 2)
    with tempfile.TemporaryDirectory() as folder:
        instances = []
        for number, ds in enumerate(phantom_study().datasets):
            path = Path(folder) / f"{number}.dcm"
            ds.save_as(path, enforce_file_format=True)
            instances.append(Instance(ds.SOPInstanceUID, ds.SOPClassUID, ds.file_meta.TransferSyntaxUID, path))
        study = Study(ds.StudyInstanceUID, 1, (Series(ds.SeriesInstanceUID, "CT", tuple(instances)),))
        volume = prepare(study, ds.SeriesInstanceUID, model.manifest)
    run = Run(uuid.UUID(int=1), model.manifest, datetime(2026, 1, 1, tzinfo=UTC), "2.25.1", "0")
    return volume, find(volume, model.manifest, model.networks, TASKS), run


def _heat(volume: Volume, findings: Findings, run: Run, picture: Path) -> None:
    """The Secondary Capture's page of the likeliest nodule."""
    (capture,) = build_sc(volume, findings, run)
    Image.fromarray(capture.pixel_array[1]).quantize(256).save(picture, optimize=True)


def _surfaces(models: Sequence[Dataset], picture: Path) -> None:
    """From the front, a little from above and the side: lungs like glass, before them the nodules in their colours."""
    meshes = [trimesh.load_mesh(io.BytesIO(model.EncapsulatedDocument), file_type="stl") for model in models]
    view = Rotation.from_euler("zx", (15, 90 + 12), degrees=True).as_matrix()  # LPS mm -> right, down, away
    seen = [mesh.vertices @ view.T for mesh in meshes]
    low, high = (bound(np.concatenate(seen)[:, :2], axis=0) for bound in (np.min, np.max))
    px_per_mm, margin = 1.84 * SURFACES_PX / (high - low)[0], 0.08 * SURFACES_PX  # drawn at twice the size
    rgb = np.full((round((high - low)[1] * px_per_mm + 2 * margin), 2 * SURFACES_PX, 3), 250.0)
    for model, mesh in sorted(zip(models, meshes, strict=True), key=lambda one: "lung" not in one[0].DocumentTitle):
        points, faces = sample_surface(mesh, int(mesh.area * px_per_mm**2 * SAMPLES_PER_PX), seed=1)
        points, normals = points @ view.T, mesh.face_normals[faces] @ view.T
        nearest_last = np.argsort(-points[:, 2])
        column, row = np.round((points[nearest_last, :2] - low) * px_per_mm + margin).astype(int).T
        light = np.clip(normals[nearest_last] @ (-0.45, -0.55, -0.7), 0, 1)
        shade, alpha = np.zeros(rgb.shape[:2]), np.zeros(rgb.shape[:2])
        shade[row, column] = light
        if "lung" in model.DocumentTitle:
            np.add.at(alpha, (row, column), 0.17 / SAMPLES_PER_PX)
            alpha = 1 - np.exp(-gaussian_filter(alpha, 1.5))  # darkest where the line of sight grazes
            colour, shade = GLASS, gaussian_filter(shade, 2)
        else:
            colour = hd.color.CIELabColor.from_dicom_value(model.RecommendedDisplayCIELabValue).to_rgb()
            alpha[row, column] = 1
        rgb += (np.array(colour) * (0.65 + 0.5 * shade[..., None]) - rgb) * alpha[..., None]
    drawn = Image.fromarray(rgb.clip(0, 255).astype(np.uint8))
    drawn = drawn.resize((SURFACES_PX, drawn.height // 2), Image.Resampling.LANCZOS)
    drawn.quantize(256, Image.Quantize.MAXCOVERAGE).save(picture, optimize=True)


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
