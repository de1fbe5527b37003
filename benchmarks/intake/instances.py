"""CT images of 512×512 for the senders: a chest phantom's slice with noise of its own in each."""

from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, generate_uid
from rich.progress import track

from cad_node.phantom import phantom_study


def ct_instances(folder: Path, count: int) -> Path:
    """`count` files of about 530 KB in Explicit VR Little Endian, one series."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    ds = next(iter(phantom_study().datasets))
    study, series = generate_uid(), generate_uid()
    body = np.clip(rng.normal(40, 12, (512, 512)), -1024, 3000).astype(np.int16)
    for number in track(range(count), "making images"):
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = study, series, generate_uid()
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.InstanceNumber = number + 1
        ds.Rows = ds.Columns = 512
        ds.PixelData = (body + rng.integers(-20, 20, (512, 512), np.int16)).tobytes()
        ds.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)
    return folder


def compressed(source: Path, folder: Path) -> Path:
    """The same images in JPEG 2000 lossless."""
    folder.mkdir()
    for path in track(sorted(source.iterdir()), "compressing them"):
        ds = dcmread(path)
        ds.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
        ds.save_as(folder / path.name, enforce_file_format=True)
    return folder
