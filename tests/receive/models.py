"""A model's manifest, as model.toml would say it."""

from pydicom.uid import CTImageStorage

from cad_node.manifest import Manifest


def a_manifest(slices: tuple[int, int] = (2, 500), name: str = "lung", modality: str = "CT") -> Manifest:
    code = {"value": "39607008", "scheme": "SCT", "meaning": "Lung"}
    return Manifest.model_validate(
        {
            "name": name,
            "version": "1.0.0",
            "title": "A model",
            "manufacturer": "cad_node tests",
            "task": "analyse_lungs",
            "objects": ["sr"],
            "accepts": {
                "modality": [modality],
                "sop_class_uid": [CTImageStorage],
                "body_part": ["CHEST"],
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
