"""What can't be one regular axial stack is refused by a code and a sentence; every case is a real broken file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian, JPEG2000Lossless

from cad_node.errors import Refusal, UnusableSeries
from tests.factory import altered, ct_study, save_study
from tests.imaging.series import SERIES_UID, load_datasets, load_files


def refusal(load: Callable[[], object]) -> UnusableSeries:
    with pytest.raises(UnusableSeries) as caught:
        load()
    assert SERIES_UID in caught.value.sentence
    assert "send" in caught.value.sentence, "what to do"
    assert not any(secret in caught.value.sentence for secret in ("Case", "TEST-1", "19600101"))
    return caught.value


@pytest.mark.parametrize(
    "content",
    [b"", b"%PDF-1.7\n1 0 obj << >> endobj\n", b"\0" * 128 + b"DICM", b"\0" * 100_000],
    ids=["zero bytes", "a PDF", "a preamble alone", "zeros"],
)
def test_a_file_that_is_not_dicom(content, tmp_path):
    paths = save_study(ct_study(), tmp_path)
    paths[2].write_bytes(content)

    refused = refusal(lambda: load_files(paths))

    assert refused.code in (Refusal.FILE_UNREADABLE, Refusal.PIXELS_MISSING)
    assert "1.2.3.4.3" in refused.sentence


def test_a_file_that_is_gone(tmp_path):
    paths = save_study(ct_study(), tmp_path)
    paths[0].unlink()

    assert refusal(lambda: load_files(paths)).code is Refusal.FILE_UNREADABLE


@pytest.mark.parametrize("kept", [0.99, 0.5, 0.1, 0.05, 0.02])
def test_a_truncated_file(kept, tmp_path):
    paths = save_study(ct_study(), tmp_path)
    content = paths[1].read_bytes()
    paths[1].write_bytes(content[: int(len(content) * kept)])

    assert refusal(lambda: load_files(paths)).code in (Refusal.FILE_UNREADABLE, Refusal.PIXELS_MISSING)


def test_a_truncated_compressed_file(tmp_path):
    datasets = ct_study()
    for ds in datasets:
        ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    paths = save_study(datasets, tmp_path)
    content = paths[1].read_bytes()
    paths[1].write_bytes(content[: len(content) - 60])

    assert refusal(lambda: load_files(paths)).code in (Refusal.PIXELS_UNDECODABLE, Refusal.FILE_UNREADABLE)


def test_a_dicomdir(tmp_path):
    paths = save_study(ct_study(), tmp_path)
    dicomdir = Path(get_testdata_file("DICOMDIR", download=False))  # pydicom ships one

    refused = refusal(lambda: load_files([*paths, dicomdir]))

    assert refused.code is Refusal.PIXELS_MISSING


def test_an_encapsulated_pdf(tmp_path):
    document = Dataset()
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    document.file_meta.MediaStorageSOPClassUID = document.SOPClassUID = EncapsulatedPDFStorage
    document.file_meta.MediaStorageSOPInstanceUID = document.SOPInstanceUID = "1.2.3"
    document.EncapsulatedDocument = b"%PDF"

    refused = refusal(lambda: load_datasets([*ct_study(), document], tmp_path))

    assert refused.code is Refusal.PIXELS_MISSING
    assert "Encapsulated PDF" in refused.sentence


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"PixelData": None}, Refusal.PIXELS_MISSING, "no Pixel Data"),
        ({"NumberOfFrames": 3}, Refusal.MULTI_FRAME, "3 frames"),
        ({"RescaleIntercept": None}, Refusal.PIXELS_UNDECODABLE, "RescaleIntercept"),
        ({"BitsStored": 17}, Refusal.PIXELS_UNDECODABLE, "17 of 16 bits"),
        ({"PixelData": bytes(100), "DataSetTrailingPadding": bytes(9000)}, Refusal.FILE_UNREADABLE, "100 of 8192 bytes"),
        ({"SamplesPerPixel": 3}, Refusal.PIXELS_UNDECODABLE, "3 samples"),
        ({"ImagePositionPatient": None}, Refusal.GEOMETRY_MISSING, "ImagePositionPatient"),
        ({"ImageOrientationPatient": None}, Refusal.GEOMETRY_MISSING, "ImageOrientationPatient"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, Refusal.GEOMETRY_MISSING, "ImageOrientationPatient"),
        ({"PixelSpacing": None}, Refusal.GEOMETRY_MISSING, "PixelSpacing"),
        ({"FrameOfReferenceUID": ["1.2", "1.3"]}, Refusal.GEOMETRY_MISSING, "FrameOfReferenceUID"),
        ({"FrameOfReferenceUID": None}, Refusal.GEOMETRY_MISSING, "FrameOfReferenceUID"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, Refusal.MIXED_GEOMETRY, "1 with 64×64"),
        ({"PixelSpacing": [0.5, 0.5]}, Refusal.MIXED_GEOMETRY, "0.5×0.5 mm"),
    ],
)
def test_one_image_among_good_ones(changes, code, said, tmp_path):
    datasets = ct_study(slices=6)
    datasets[3] = altered(datasets[3], **changes)

    refused = refusal(lambda: load_datasets(datasets, tmp_path))

    assert refused.code is code
    assert said in refused.sentence


def test_two_matrix_sizes(tmp_path):
    localizer = ct_study(voxels=np.zeros((1, 32, 48), np.int16))

    refused = refusal(lambda: load_datasets([*ct_study(), *localizer], tmp_path))

    assert refused.code is Refusal.MIXED_GEOMETRY
    assert "4 with 64×64" in refused.sentence
    assert "1 with 32×48" in refused.sentence


def test_two_images_at_one_position(tmp_path):
    datasets = ct_study(slices=5)
    again = altered(datasets[2], SOPInstanceUID="1.2.3.99")

    refused = refusal(lambda: load_datasets([*datasets, again], tmp_path))

    assert refused.code is Refusal.DUPLICATE_POSITION
    assert "1.2.3.99" in refused.sentence


def test_slices_missing_in_the_middle(tmp_path):
    datasets = ct_study(slices=10, spacing_mm=2.0)

    refused = refusal(lambda: load_datasets(datasets[:4] + datasets[6:], tmp_path))

    assert refused.code is Refusal.SLICES_MISSING
    assert "about 2 slices are missing: 6.00 mm between z = 6.00 and 12.00" in refused.sentence


def test_irregular_spacing(tmp_path):
    datasets = ct_study(slices=8, spacing_mm=2.0)
    datasets[4] = altered(datasets[4], ImagePositionPatient=[-24, -24, 8.5])

    refused = refusal(lambda: load_datasets(datasets, tmp_path))

    assert refused.code is Refusal.SLICES_MISSING
    assert "irregularly" in refused.sentence


def test_positions_rounded_to_a_decimal_are_regular(tmp_path):
    rounded = [altered(ds, ImagePositionPatient=[-24, -24, round(n * 0.625, 1)]) for n, ds in enumerate(ct_study(slices=12))]

    volume = load_datasets(rounded, tmp_path)

    assert volume.spacing_mm[0] == pytest.approx(0.625, abs=0.01)


def test_a_tilted_gantry(tmp_path):
    tilt = np.radians(8)  # the planes are tilted, the table moves along the patient
    orientation = [1, 0, 0, 0, float(np.cos(tilt)), float(np.sin(tilt))]
    datasets = [altered(ds, ImageOrientationPatient=orientation) for ds in ct_study(slices=8)]

    assert refusal(lambda: load_datasets(datasets, tmp_path)).code is Refusal.NOT_ORTHOGONAL


def test_a_coronal_stack(tmp_path):
    datasets = [
        altered(ds, ImageOrientationPatient=[1, 0, 0, 0, 0, -1], ImagePositionPatient=[0, n * 1.25, 0]) for n, ds in enumerate(ct_study())
    ]

    refused = refusal(lambda: load_datasets(datasets, tmp_path))

    assert refused.code is Refusal.WRONG_ORIENTATION
    assert "90° off axial" in refused.sentence


@pytest.mark.parametrize(("slice_mm", "pixel_mm", "said"), [(7.5, 0.75, "slice spacing 7.5 mm"), (1.25, 2.5, "pixel spacing 2.5 × 2.5 mm")])
def test_spacing_outside_what_the_model_takes(slice_mm, pixel_mm, said, tmp_path):
    datasets = ct_study(spacing_mm=slice_mm, pixel_spacing_mm=pixel_mm)

    refused = refusal(lambda: load_datasets(datasets, tmp_path))

    assert refused.code is Refusal.SPACING_OUT_OF_RANGE
    assert said in refused.sentence


def test_a_single_image(tmp_path):
    assert refusal(lambda: load_datasets(ct_study(slices=1), tmp_path)).code is Refusal.TOO_FEW_SLICES


def test_no_image(tmp_path: Path):
    assert refusal(lambda: load_datasets([], tmp_path)).code is Refusal.TOO_FEW_SLICES
