"""A model's manifest, as model.toml would say it, and series for it, as the index tells them."""

from collections.abc import Collection, Mapping
from pathlib import Path

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from cad_node.manifest import Manifest
from cad_node.study import Instance, Series


def a_manifest(slices: tuple[int, int] = (2, 500), name: str = "lung", modality: str = "CT", excluded: str = "SCREEN SAVE") -> Manifest:
    code = {"value": "39607008", "scheme": "SCT", "meaning": "Lung"}
    return Manifest.model_validate(
        {
            "name": name,
            "version": "1.0.0",
            "title": "A model",
            "manufacturer": "cad_node tests",
            "task": "analyse_lungs",
            "accepts": {
                "modality": [modality],
                "sop_class_uid": [CTImageStorage],
                "body_part": ["CHEST"],
                "image_type_excluded": [excluded],
                "slices": {"min": slices[0], "max": slices[1]},
                "slice_spacing_mm": {"min": 0.5, "max": 3},
                "pixel_spacing_mm": {"min": 0.3, "max": 1.2},
            },
            "graph": {"sha256": "0" * 64, "input": "patches", "input_shape": ["batch", 1, 50, 50], "outputs": ["scores"]},
            "candidates": {"diameter_mm": {"min": 3, "max": 30}, "limit": 100},
            "output": {"meaning": code, "finding": code, "site": code, "diameter_mm": {"min": 3, "max": 100}, "limit": 10},
            "golden": {"tolerance": 0.001},
        }
    )


def stack(uid: str, slices: int, *, without: Collection[int] = (), spacing_mm: float = 1.25, **header: object) -> Series:
    """An axial CT series of `slices` images, SOP Instance UIDs <uid>.1, <uid>.2, …; without: indices of those left out, others follow.

    header: what differs in each image's indexed header.
    """
    indices = [index for index in range(slices + len(without)) if index not in without]
    return Series(uid, "CT", tuple(_image(f"{uid}.{index + 1}", index, spacing_mm, header) for index in indices))


def _image(uid: str, index: int, spacing_mm: float, header: Mapping[str, object]) -> Instance:
    values = {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "BodyPartExamined": "CHEST",
        "ImagePositionPatient": [-100.0, -100.0, index * spacing_mm],
        "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "PixelSpacing": [0.75, 0.75],
        "SliceThickness": spacing_mm,
        "InstanceNumber": index + 1,
    }
    kept = {keyword: value for keyword, value in (values | header).items() if value is not None}
    return Instance(uid, CTImageStorage, ExplicitVRLittleEndian, Path(f"/spool/{uid}.dcm"), kept)
