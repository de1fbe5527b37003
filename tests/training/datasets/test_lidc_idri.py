import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from cad_node.training.datasets.lidc_idri import is_lidc_idri, read_lidc_idri
from cad_node.training.datasets.lidc_xml import parse_reading
from cad_node.training.samples import DataError
from tests.training.datasets.lidc_study import (
    nodule_xml,
    non_nodule_xml,
    reading_xml,
    small_nodule_xml,
    sop_uid,
    square,
    write_images,
)


def make_study(folder: Path, sessions, slices: int = 6) -> Path:
    """A series of 100×100 pixels in which each pixel's HU tells its column, with its reading."""
    voxels = np.broadcast_to(np.arange(100) - 900, (slices, 100, 100)) + 10 * np.arange(slices)[:, None, None]
    write_images(folder / "patient" / "study" / "series", voxels)
    (folder / "patient" / "study" / "series" / "069.xml").write_text(reading_xml(sessions), encoding="utf-8")
    return folder


def test_what_lies_inside_the_outline_is_the_nodule_and_the_outline_is_not(tmp_path):
    data = make_study(tmp_path, [[nodule_xml([square(sop_uid(2), 50, 40, 10), square(sop_uid(3), 50, 40, 10)], malignancy=5)]])

    (nodule,), _ = read_lidc_idri(data)

    assert is_lidc_idri(data)
    assert nodule.readers.shape == (1, 2, 64, 64)
    assert nodule.readers.sum() == 2 * 100
    assert nodule.hu[nodule.readers[0]].min() == 50 - 900 + 20
    assert nodule.hu[nodule.readers[0]].max() == 59 - 900 + 30
    assert nodule.median("malignancy") == 5
    assert (nodule.pixel_mm, nodule.slice_spacing_mm, nodule.slice_thickness_mm) == (0.5, 2.0, 2.0)
    assert (nodule.patient, nodule.manufacturer) == ("LIDC-IDRI-9999", "Test")


def test_a_hole_and_its_outline_are_no_nodule(tmp_path):
    contours = [square(sop_uid(2), 53, 43, 2, inclusion=False), square(sop_uid(2), 50, 40, 10)]

    (nodule,), _ = read_lidc_idri(make_study(tmp_path, [[nodule_xml(contours)]]))

    assert nodule.readers.sum() == 100 - 16


def test_marks_of_several_readers_that_meet_are_one_nodule(tmp_path):
    sessions = [
        [nodule_xml([square(sop_uid(2), 40, 40, 10)], malignancy=1)],
        [nodule_xml([square(sop_uid(3), 44, 40, 10)], malignancy=4), nodule_xml([square(sop_uid(3), 80, 80, 5)])],
    ]

    nodules, _ = read_lidc_idri(make_study(tmp_path, sessions))

    assert [len(nodule.readers) for nodule in nodules] == [2, 1]
    assert nodules[0].ratings["malignancy"] == (1, 4)
    assert nodules[0].readers.sum(axis=(2, 3)).tolist() == [[100, 0], [0, 100]]


def test_more_marks_than_readers_are_parted(tmp_path):
    near, far = [square(sop_uid(2), left, 40, 8) for left in (30, 41)]  # outlines one pixel, 0.5 mm, apart
    sessions = [[nodule_xml([near]), nodule_xml([far])] for _ in range(3)]

    nodules, _ = read_lidc_idri(make_study(tmp_path, sessions))

    assert [len(nodule.readers) for nodule in nodules] == [3, 3]


def test_nodules_under_3_mm_and_other_points_are_read_but_are_no_outlines(tmp_path):
    session = [small_nodule_xml(sop_uid(1), (10, 11)), non_nodule_xml(sop_uid(2), (20, 21)), nodule_xml([square(sop_uid(3), 50, 50, 4)])]
    data = make_study(tmp_path, [session])
    (file,) = data.rglob("*.xml")

    reading = parse_reading(file, file.read_bytes())
    nodules, _ = read_lidc_idri(data)

    assert reading.small_nodules[0].outlines[0].pixels.tolist() == [[10, 11]]
    assert reading.non_nodules[0].outlines[0].pixels.tolist() == [[20, 21]]
    assert len(nodules) == 1


def test_a_nodule_at_the_border_has_air_beyond_it(tmp_path):
    (nodule,), _ = read_lidc_idri(make_study(tmp_path, [[nodule_xml([square(sop_uid(2), 2, 2, 6)])]]))

    assert nodule.readers.sum() == 36
    assert nodule.hu[0, 0, 0] == -1024


def test_readings_of_chest_radiographs_are_passed_over(tmp_path):
    data = make_study(tmp_path, [[nodule_xml([square(sop_uid(2), 50, 40, 10)])]])
    (data / "068.xml").write_text('<IdriReadMessage xmlns="http://www.nih.gov/idri"/>', encoding="utf-8")

    nodules, _ = read_lidc_idri(data)

    assert len(nodules) == 1
    assert not is_lidc_idri(data.parent / "elsewhere")


def test_a_missing_image_is_named(tmp_path):
    data = make_study(tmp_path, [[nodule_xml([square(sop_uid(9), 50, 40, 10)])]])

    with pytest.raises(DataError, match=r"069\.xml: names image .*\.9, which isn't in .*series"):
        read_lidc_idri(data)


def test_a_reading_without_its_images_is_named(tmp_path):
    data = make_study(tmp_path, [[nodule_xml([square(sop_uid(2), 50, 40, 10)])]])
    for image in data.rglob("*.dcm"):
        image.unlink()

    with pytest.raises(DataError, match=r"069\.xml: no folder holds the images"):
        read_lidc_idri(data)


def test_a_broken_reading_is_named(tmp_path):
    data = make_study(tmp_path, [[]])
    (file,) = data.rglob("*.xml")
    file.write_text(file.read_text(encoding="utf-8")[:-30], encoding="utf-8")

    with pytest.raises(DataError, match=r"069\.xml: not a reading"):
        read_lidc_idri(data)


def test_the_checksum_tells_other_images_apart(tmp_path):
    sessions = [[nodule_xml([square(sop_uid(2), 50, 40, 10)])]]
    first = make_study(tmp_path / "first", sessions)
    other = make_study(tmp_path / "other", sessions)
    image = next(path for path in other.rglob("*.dcm") if dcmread(path).SOPInstanceUID == sop_uid(2))
    image.write_bytes(image.read_bytes()[:-2] + b"\0\0")

    checksums = [read_lidc_idri(data)[1] for data in (first, first, other)]

    assert checksums[0] == checksums[1] != checksums[2]


@pytest.fixture(scope="module")
def lidc_0314(tmp_path_factory) -> Path:
    """The real images of LIDC-IDRI-0314, and the contours of its four readers in the archive's form."""
    if "CAD_NODE_DATA" not in os.environ:
        pytest.skip("CAD_NODE_DATA is unset: the folder of real data sets")
    data = tmp_path_factory.mktemp("LIDC-IDRI")
    subprocess.run([Path(os.environ["CAD_NODE_DATA"]) / "unpack", "lidc_idri_0314", data / "LIDC-IDRI-0314"], check=True)
    annotations = json.loads((data / "LIDC-IDRI-0314" / "annotations.json").read_text())
    images = [dcmread(file, specific_tags=["ImagePositionPatient"]) for file in data.rglob("*.dcm")]
    uids = {round(float(image.ImagePositionPatient[2]), 3): image.file_meta.MediaStorageSOPInstanceUID for image in images}
    sessions = []
    for reader in annotations["readers"]:
        contours = [(uids[round(c["z"], 3)], c["xy"], c["inclusion"]) for c in reader["contours_xy_pixel"]]
        rated = {name: reader[name] for name in ("malignancy", "subtlety", "texture", "calcification", "spiculation")}
        sessions.append([nodule_xml(contours, **rated)])
    (data / "LIDC-IDRI-0314" / "071.xml").write_text(reading_xml(sessions, annotations["series"]), encoding="utf-8")
    yield data
    shutil.rmtree(data)


def test_the_nodule_of_lidc_0314_is_the_one_that_others_read(lidc_0314):
    (nodule,), _ = read_lidc_idri(lidc_0314)

    voxel_mm3 = nodule.pixel_mm**2 * nodule.slice_spacing_mm
    volumes = nodule.readers.sum(axis=(1, 2, 3)) * voxel_mm3
    consensus_mm3 = nodule.consensus.sum() * voxel_mm3
    assert nodule.ratings["malignancy"] == (1, 5, 4, 3)
    assert ((volumes > 1500) & (volumes < 2300)).all()
    assert consensus_mm3 == pytest.approx(2074, abs=1)
    assert (6 * consensus_mm3 / np.pi) ** (1 / 3) == pytest.approx(15.49, abs=0.8)  # LUNA16 has 15.49 mm
    assert nodule.hu[nodule.consensus].mean() > -200


def test_the_masks_of_lidc_0314_are_those_of_the_published_crops(lidc_0314):
    with tarfile.open(Path(os.environ["CAD_NODE_DATA"]) / "lidc_nodule_slices" / "slices.tar.xz", "r|xz") as tar:
        member = next(tar.extractfile(member) for member in tar if member.name.endswith("mask/0314_00.png"))
        published = np.asarray(Image.open(io.BytesIO(member.read()))).reshape(-1, 64, 64)

    (nodule,), _ = read_lidc_idri(lidc_0314)

    bits = np.stack([(published >> bit & 1).astype(np.bool_) for bit in range(4)])
    # its crop begins one slice too high, so that what belongs below its first slice stands in its last
    assert np.array_equal(boxed(np.roll(nodule.readers, -1, axis=1)), boxed(bits))


def boxed(readers: np.ndarray) -> np.ndarray:
    """Cut to rows and columns that any reader marked: the two crops differ in where they put the middle."""
    rows, columns = (np.flatnonzero(readers.any(axis=axes)) for axes in ((0, 1, 3), (0, 1, 2)))
    return readers[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
