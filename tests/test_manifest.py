"""Model folders: which series a model takes, and what is said of a folder that can't be used."""

import shutil
from pathlib import Path

import pytest

from cad_node.errors import ManifestError, Refusal
from cad_node.manifest import Manifest, newest_version, read_model, read_models, read_part
from cad_node.study import Instance, Series, Study
from tests.shipped_models import LUNG_NODULES, MODELS, every_folder

VERSION = LUNG_NODULES.name
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped application in a models folder of its own, with its parts beside it."""
    for key in manifest().parts.values():
        shutil.copytree(MODELS / key, tmp_path / key)
    return shutil.copytree(LUNG_NODULES, tmp_path / "lung_nodule_ct" / VERSION)


def manifest() -> Manifest:
    return read_model(LUNG_NODULES).manifest


def series(uid: str = "1.2.3", modality: str = "CT", sop_class_uid: str = CT, count: int = 100, **header: object) -> Series:
    instances = (Instance(f"{uid}.{number}", sop_class_uid, "1.2.840.10008.1.2.1", Path("x"), header) for number in range(count))
    return Series(uid, modality, tuple(instances))


def stack(gap_mm: float, count: int = 40) -> Series:
    """An axial series whose index holds positions."""
    headers = ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [0, 0, gap_mm * z]} for z in range(count))
    return Series("1.2.9", "CT", tuple(Instance(f"1.2.9.{z}", CT, "1.2.840.10008.1.2.1", Path("x"), h) for z, h in enumerate(headers)))


def edit(folder: Path, old: str, new: str) -> None:
    file = folder / "model.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_shipped_model_folders_are_sound():
    folders, errors = read_models(MODELS)

    assert errors == ()
    assert [folder.key for folder in folders] == [("lung_nodule_ct", VERSION)]
    assert all(read_part(folder).name == folder.parent.name for folder in every_folder())


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("limit = 12", 'limit = "many"', "output.limit"),
        ("limit = 12", "limits = 12", "output.limit"),
        ('task = "analyse_lungs"', 'task = "analyse_lung"', "task"),
        ('task = "analyse_lungs"', "", "accepts"),
        ("threshold = ", 'threshold = "high" # ', "parameters.threshold"),
        ("min = 20", "min = 2001", "accepts.slices"),
        ('file = "model.onnx"', 'file = "../../elsewhere.onnx"', "graph.file"),
        ('file = "model.onnx"', 'file = "/etc/passwd"', "graph.file"),
        (f'version = "{VERSION}"', 'version = "1.0"', "version"),
        (f'version = "{VERSION}"', 'version = "77.0.0"', "name"),
        ('sha256 = "', 'sha256 = "x', "graph.sha256"),
    ],
)
def test_a_bad_manifest_is_named_by_file_and_key(folder, old, new, key):
    edit(folder, old, new)

    with pytest.raises(ManifestError) as error:
        read_part(folder)

    assert error.value.key == key
    assert str(folder / "model.toml") in str(error.value)


def test_a_graph_that_was_changed_after_release_is_refused(folder):
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")

    with pytest.raises(ManifestError, match="SHA-256"):
        read_part(folder)


def test_a_missing_graph_is_refused(folder):
    (folder / "model.onnx").unlink()

    with pytest.raises(ManifestError, match=r"model\.onnx: graph\.file"):
        read_part(folder)


def test_a_graph_that_is_a_folder_is_refused_and_hides_no_other(folder):
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").mkdir()

    folders, errors = read_models(folder.parent.parent)

    assert folders == ()
    assert errors[0].key == "graph.file"


def test_a_manifest_that_is_not_toml_is_refused(folder):
    (folder / "model.toml").write_bytes(b"\xff\xfe[")

    with pytest.raises(ManifestError, match="TOML"):
        read_part(folder)


def test_one_bad_folder_does_not_hide_the_others(folder):
    models = folder.parent.parent
    (models / "broken" / "1.0.0").mkdir(parents=True)
    (models / "empty").mkdir()

    folders, errors = read_models(models)

    assert [found.key for found in folders] == [("lung_nodule_ct", VERSION)]
    assert {error.file.parent.parent.name for error in errors} == {"broken", "empty"}


def test_of_several_versions_the_newest_runs_and_an_older_one_when_it_is_named(folder):
    newer = shutil.copytree(folder, folder.parent / "77.10.0")
    edit(newer, f'version = "{VERSION}"', 'version = "77.10.0"')

    newest, _ = read_models(folder.parent.parent)
    named, _ = read_models(folder.parent.parent, [f"lung_nodule_ct/{VERSION}"])

    assert [found.key for found in newest] == [("lung_nodule_ct", "77.10.0")]
    assert [found.key for found in named] == [("lung_nodule_ct", VERSION)]
    assert newest_version(folder.parent) == newer


def test_a_part_is_not_run_by_itself_and_says_so_when_it_is_enabled(folder):
    part = next(iter(manifest().parts.values()))

    by_itself, _ = read_models(folder.parent.parent)
    named, errors = read_models(folder.parent.parent, [part])

    assert [found.key for found in by_itself] == [("lung_nodule_ct", VERSION)]
    assert named == ()
    assert "a part of other models" in str(errors[0])


def test_a_model_whose_part_is_broken_names_the_part(folder):
    role, key = next(iter(manifest().parts.items()))
    (folder.parent.parent / key / "model.onnx").write_bytes(b"another graph")

    folders, errors = read_models(folder.parent.parent)

    assert folders == ()
    assert errors[0].key == f"parts.{role}"
    assert "SHA-256" in str(errors[0])


def test_a_models_folder_that_is_not_there_is_said():
    folders, errors = read_models(Path("/nowhere"))

    assert folders == ()
    assert "no such folder" in str(errors[0])


@pytest.mark.parametrize(
    ("candidate", "phrase"),
    [
        (series(modality="MR", sop_class_uid=MR), "modality MR"),
        (series(sop_class_uid=MR), "SOP class"),
        (series(BodyPartExamined="HEAD"), "body part HEAD"),
        (series(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "LOCALIZER"),
        (series(count=3), "3 images"),
        (series(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), "aren't axial"),
        (series(ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[1.4, 1.4]), "pixel spacing 1.4 mm"),
        (stack(gap_mm=10.0), "slice spacing 10 mm"),
    ],
)
def test_a_series_outside_the_manifest_is_refused_with_the_reason(candidate, phrase):
    reason = manifest().accepts_series(candidate)

    assert phrase in reason


@pytest.mark.parametrize(
    ("candidate", "stays_refused"),
    [
        (series(modality="MR", sop_class_uid=MR), True),
        (series(BodyPartExamined="HEAD"), True),
        (series(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), True),
        (series(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), True),
        (series(count=3), False),
        (stack(gap_mm=10.0), False),
        (series(), False),
    ],
)
def test_more_images_can_mend_a_series_that_is_too_short_or_too_sparse_but_not_one_of_another_kind(candidate, stays_refused):
    assert bool(manifest().refuses_kind(candidate)) is stays_refused


@pytest.mark.parametrize("body_part", ["CHEST", "chest", "", None])
def test_a_chest_or_an_unnamed_body_part_is_taken(body_part):
    assert manifest().accepts_series(series(BodyPartExamined=body_part)) == ""


def test_of_several_fitting_series_the_one_with_the_thinnest_slices_is_chosen():
    study = Study("1.2", 1, (series("1.2.1", count=60), series("1.2.2", count=300), series("1.2.3", modality="SR", count=1)))

    choice = manifest().choose(study)

    assert choice.series is not None
    assert choice.series.series_instance_uid == "1.2.2"


def test_a_coronal_reformat_with_more_images_does_not_hide_the_axial_series():
    axial = series("1.2.1", count=320, ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    coronal = series("1.2.2", count=420, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])

    choice = manifest().choose(Study("1.2", 1, (axial, coronal)))

    assert choice.series == axial


def test_a_stack_within_the_bounds_is_taken():
    assert manifest().accepts_series(stack(gap_mm=1.25)) == ""


def test_a_study_without_a_fitting_series_is_refused_naming_each():
    study = Study("1.2", 1, (series("1.2.1", modality="MR", sop_class_uid=MR), series("1.2.2", count=3)))

    choice = manifest().choose(study)

    assert choice.refusal == Refusal.NO_MATCHING_SERIES
    assert "1.2.1" in choice.sentence
    assert "1.2.2" in choice.sentence
