from pathlib import Path

import pytest
from PIL import Image

from cad_node.training.datasets.isic import is_isic, read_isic
from cad_node.training.samples import DataError, Split, check_patients_apart


def write_set(folder: Path, table: list[str], images: list[str]) -> Path:
    (folder / "images").mkdir()
    (folder / "GroundTruth.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    for number, name in enumerate(images):
        Image.new("RGB", (80, 60), (number, 100, 200)).save(folder / "images" / f"{name}.jpg")
    return folder


@pytest.fixture
def challenge_2018(tmp_path) -> Path:
    """A column for each diagnosis; images 2k and 2k+1 show the same lesion."""
    names = [f"ISIC_{number:07d}" for number in range(120)]
    rows = [f"{name},{float(number % 4 < 2)},{float(number % 4 >= 2)},0.0" for number, name in enumerate(names)]
    (tmp_path / "LesionGroupings.csv").write_text(
        "\n".join(["image,lesion_id", *(f"{name},HAM_{number // 2}" for number, name in enumerate(names))]), encoding="utf-8"
    )
    return write_set(tmp_path, ["image,MEL,NV,BCC", *rows], names)


def test_melanoma_is_what_is_looked_for(challenge_2018):
    samples = read_isic(challenge_2018, Split.TRAIN)

    assert is_isic(challenge_2018)
    assert samples.inputs.shape[1:] == (3, 64, 64)
    assert samples.inputs[0, 2].mean() == pytest.approx(200, abs=2)
    assert set(zip(samples.targets["label"].tolist(), samples.attributes["diagnosis"].tolist(), strict=True)) == {(1, "MEL"), (0, "NV")}


def test_images_of_one_lesion_stay_together(challenge_2018):
    splits = {split: read_isic(challenge_2018, split) for split in Split}

    check_patients_apart(splits)
    assert sum(len(samples) for samples in splits.values()) == 120
    assert all(samples.patients.count(lesion) == 2 for samples in splits.values() for lesion in samples.patients)


def test_the_set_of_2020_names_patients(tmp_path):
    rows = [f"ISIC_{number},IP_{number // 3},male,nevus,{number % 2}" for number in range(90)]
    data = write_set(tmp_path, ["image_name,patient_id,sex,diagnosis,target", *rows], [f"ISIC_{number}" for number in range(90)])

    samples = read_isic(data, Split.TRAIN)

    assert all(samples.patients.count(patient) == 3 for patient in samples.patients)
    assert set(samples.targets["label"].tolist()) == {0, 1}


def test_a_missing_image_is_named(challenge_2018):
    for image in (challenge_2018 / "images").iterdir():
        image.unlink()

    with pytest.raises(DataError, match=r"image ISIC_\d+ is in the ground truth, but there is no such file"):
        read_isic(challenge_2018, Split.TRAIN)
