from pathlib import Path

import numpy as np
import pytest

from cad_node.training.datasets.luna16 import NEGATIVES, TEST_SERIES, is_luna16, read_luna16
from cad_node.training.datasets.meta_image import read_meta_image
from cad_node.training.samples import DataError, Split, check_patients_apart

SPACING_MM, OFFSET_MM = (0.7, 0.7, 2.5), (-30.0, -20.0, -100.0)
NODULE = (3, 40, 30)  # slice, row, column


def write_scan(folder: Path, uid: str, flips=(1, 1, 1)) -> None:
    """8 slices of 70×80 pixels; the nodule's pixel alone is 77 HU, and outside a round field of view there is -3024."""
    folder.mkdir(parents=True, exist_ok=True)
    voxels = np.full((8, 70, 80), -800, "<i2")
    voxels[:, :, 78:] = -3024
    voxels[NODULE] = 77
    matrix = " ".join(str(value) for value in np.diag(flips).ravel())
    header = {
        "ObjectType": "Image",
        "NDims": 3,
        "CompressedData": "False",
        "TransformMatrix": matrix,
        "Offset": " ".join(map(str, OFFSET_MM)),
        "ElementSpacing": " ".join(map(str, SPACING_MM)),
        "DimSize": "80 70 8",
        "ElementType": "MET_SHORT",
        "ElementDataFile": f"{uid}.raw",
    }
    (folder / f"{uid}.mhd").write_text("".join(f"{name} = {value}\n" for name, value in header.items()), encoding="ascii")
    (folder / f"{uid}.raw").write_bytes(voxels.tobytes())


def world(index, flips=(1, 1, 1)) -> str:
    """x,y,z of a (slice, row, column) index"""
    return ",".join(f"{o + f * i * s:.4f}" for o, f, i, s in zip(OFFSET_MM, flips, reversed(index), SPACING_MM, strict=True))


@pytest.fixture
def luna(tmp_path) -> Path:
    """A scan in each of the subsets 0, 8 and 9, with one nodule and 40 other candidates; that of subset 8 is mirrored."""
    candidates, annotations = ["seriesuid,coordX,coordY,coordZ,class"], ["seriesuid,coordX,coordY,coordZ,diameter_mm"]
    for subset in (0, 8, 9):
        flips = (-1, -1, 1) if subset == 8 else (1, 1, 1)
        write_scan(tmp_path / f"subset{subset}", f"1.2.{subset}", flips)
        candidates += [f"1.2.{subset},{world((1, 10 + i, 12), flips)},0" for i in range(40)] + [f"1.2.{subset},{world(NODULE, flips)},1"]
        annotations.append(f"1.2.{subset},{world(NODULE, flips)},6.5")
    (tmp_path / "candidates_V2.csv").write_text("\n".join(candidates), encoding="utf-8")
    (tmp_path / "annotations.csv").write_text("\n".join(annotations), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("split", list(Split))
def test_the_nodule_is_in_the_middle_of_its_patch_in_mirrored_scans_too(luna, split):
    samples = read_luna16(luna, split)

    assert is_luna16(luna)
    assert samples.inputs.shape == (1 + NEGATIVES, 1, 50, 50)
    assert samples.targets["nodule"].tolist() == [1] + [0] * NEGATIVES
    assert samples.inputs[0, 0, 25, 25] == 77
    assert samples.attributes["diameter_mm"][0] == 6.5
    assert np.isnan(samples.attributes["diameter_mm"][1:]).all()


def test_beyond_the_image_and_its_field_of_view_there_is_air(luna):
    samples = read_luna16(luna, Split.TRAIN)

    patches = samples.inputs[1:, 0]
    assert (patches[:, :, 0] == -1000).all()  # column 12 - 25 lies outside
    assert set(np.unique(samples.inputs)) == {-1000, -800, 77}


def test_subsets_stay_apart(luna):
    splits = {split: read_luna16(luna, split) for split in Split}

    check_patients_apart(splits)
    assert [set(samples.patients) for samples in splits.values()] == [{"1.2.0"}, {"1.2.8"}, {"1.2.9"}]
    assert len({samples.sha256 for samples in splits.values()}) == 3


def test_the_same_candidates_are_drawn_each_time(luna):
    first, again = read_luna16(luna, Split.TRAIN), read_luna16(luna, Split.TRAIN)

    assert first.sha256 == again.sha256


@pytest.mark.parametrize("uid", sorted(TEST_SERIES))
def test_the_test_scans_of_the_system_are_never_trained_on(luna, uid):
    write_scan(luna / "subset3", uid)
    with (luna / "candidates_V2.csv").open("a", encoding="utf-8") as stream:
        stream.write(f"\n{uid},{world(NODULE)},1")

    assert uid not in read_luna16(luna, Split.TRAIN).patients
    assert uid in read_luna16(luna, Split.TEST).patients


def test_a_missing_subset_is_named(luna):
    for file in (luna / "subset8").iterdir():
        file.unlink()

    with pytest.raises(DataError, match="no scans in subset8, which the val split is"):
        read_luna16(luna, Split.VALIDATION)


def test_a_missing_table_is_named(luna):
    (luna / "candidates_V2.csv").unlink()

    with pytest.raises(DataError, match=r"candidates\.csv: No such file"):
        read_luna16(luna, Split.TRAIN)


def test_voxels_cut_short_are_named(luna):
    file = luna / "subset0" / "1.2.0.raw"
    file.write_bytes(file.read_bytes()[:1000])

    with pytest.raises(DataError, match=r"1\.2\.0\.mhd: not readable as a MetaImage"):
        read_luna16(luna, Split.TRAIN)


def test_compressed_voxels_are_refused(luna):
    file = luna / "subset0" / "1.2.0.mhd"
    file.write_text(file.read_text().replace("CompressedData = False", "CompressedData = True"), encoding="ascii")

    with pytest.raises(DataError, match="wanted uncompressed MET_SHORT"):
        read_meta_image(file)
