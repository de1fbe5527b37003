"""Every object from awkward series: what is drawn lies in the patient where it lies in the source, or the series is refused by a code."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import highdicom as hd
import numpy as np
import pytest
import trimesh
from pydicom import dcmread
from pydicom.dataset import Dataset

from cad_node.app.worker import BUILDERS
from cad_node.errors import Refusal, UnusableSeries
from cad_node.imaging.volume import Volume
from cad_node.output.file import encode
from tests.factory import altered, save_study
from tests.imaging.series import load_datasets, load_files
from tests.interop.tools import run, tool
from tests.output import awkward, case
from tests.output.awkward import Points, Way

WAYS = {
    "numbered downwards": Way(is_numbered_downwards=True),
    "prone": Way(orientation=awkward.PRONE),
    "feet first, numbered downwards": Way(orientation=awkward.FEET_FIRST, is_numbered_downwards=True),
    "on the side, pixels not square": Way(orientation=awkward.ON_THE_SIDE, pixel_spacing_mm=(0.9, 1.4)),
    "oblique, pixels not square": Way(orientation=awkward.turned(-6.0, 12.0), pixel_spacing_mm=(1.5, 1.1)),
    "tilted as little as is taken": Way(orientation=awkward.turned(0.5, 0.0), is_sheared=True),
}
OPTIONAL = (
    "AccessionNumber",
    "AcquisitionNumber",
    "BodyPartExamined",
    "ContentDate",
    "ContentTime",
    "ConvolutionKernel",
    "ImageType",
    "InstanceNumber",
    "KVP",
    "Manufacturer",
    "PatientBirthDate",
    "PatientPosition",
    "PatientSex",
    "PositionReferenceIndicator",
    "ReferringPhysicianName",
    "RescaleType",
    "SeriesDate",
    "SeriesNumber",
    "SeriesTime",
    "SliceThickness",
    "SpecificCharacterSet",
    "StudyDate",
    "StudyID",
    "StudyTime",
)
NAMES_OF_PATIENTS = {  # bytes as they are in the file; the Japanese one is PS3.5 H.3.1
    "latin-1": ("ISO_IR 100", "Müller^Jürgen".encode("latin-1")),
    "GB18030": ("GB18030", "Wang^XiaoDong=王^小东".encode("gb18030")),
    "Japanese": (
        ("", "ISO 2022 IR 87"),
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
    ),
    "latin-1 said to be UTF-8": ("ISO_IR 192", "Müller^Jürgen".encode("latin-1")),
}


def loaded(datasets: Sequence[Dataset]) -> Volume:
    with TemporaryDirectory() as folder:
        return load_datasets(datasets, Path(folder))


@cache
def loaded_way(way: Way) -> Volume:
    return loaded(awkward.study(way))


@cache
def loaded_with(charset: str | tuple[str, ...], patient_name: bytes, patient_id: bytes) -> Volume:
    """With these bytes in the files, whether or not they are what the character set says."""
    marked = {"PatientName": "N" * len(patient_name), "PatientID": "I" * len(patient_id)}
    terms = list(charset) if isinstance(charset, tuple) else charset
    datasets = [altered(ds, SpecificCharacterSet=terms, **marked) for ds in awkward.study(Way())]
    with TemporaryDirectory() as folder:
        paths = save_study(datasets, Path(folder))
        for path in paths:
            content = path.read_bytes().replace(marked["PatientName"].encode(), patient_name)
            path.write_bytes(content.replace(marked["PatientID"].encode(), patient_id))
        return load_files(paths)


def built(name: str, volume: Volume) -> list[Dataset]:
    return [dcmread(BytesIO(encode(ds))) for ds in BUILDERS[name](volume, awkward.findings(volume), case.run())]


def voxels_by_frame(ds: Dataset) -> Points:
    """What is set in a Segmentation's or Parametric Map's frames, by the frames' own planes."""
    pixels = np.frombuffer(ds.FloatPixelData, "<f4").reshape(-1, ds.Rows, ds.Columns) if "FloatPixelData" in ds else ds.pixel_array
    shared = ds.SharedFunctionalGroupsSequence[0]
    points = []
    for frame, groups in zip(pixels.reshape(-1, ds.Rows, ds.Columns), ds.PerFrameFunctionalGroupsSequence, strict=True):
        plane = Dataset()
        for group in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"):
            plane.update((groups if group in groups else shared)[group][0])
        rows, columns = np.nonzero(frame > 0)
        points.append(awkward.lps(plane, columns, rows))
    return np.concatenate(points)


def check_frames(objects: Sequence[Dataset], volume: Volume) -> None:
    (ds,) = objects
    assert_same_points(voxels_by_frame(ds), awkward.body(volume.sources))


def check_segmentation(objects: Sequence[Dataset], volume: Volume) -> None:
    """As highdicom's reader sees it, too, which makes a rectangular volume of the frames."""
    check_frames(objects, volume)
    read = hd.seg.segread(BytesIO(encode(objects[0]))).get_volume(segment_numbers=[1], combine_segments=True)
    points = np.argwhere(read.array == 1) @ read.affine[:3, :3].T + read.affine[:3, 3]
    assert middle(points) == pytest.approx(middle(awkward.body(volume.sources)), abs=0.1)


def check_scoords(objects: Sequence[Dataset], volume: Volume) -> None:
    """Drawn on the images that they name, the axes end where they were measured, and nothing is drawn beside the body."""
    (ds,) = objects
    images = {source.SOPInstanceUID: source for source in volume.sources}
    drawn = [placed(images[uid], points) for points, uid in scoords(ds, ds)]
    finding = awkward.findings(volume).findings[0]

    for axis in (finding.long_axis, finding.short_axis):
        assert any(len(points) == 2 and points == pytest.approx(np.array(axis.ends_lps_mm), abs=1e-3) for points in drawn)
    assert_within(np.concatenate(drawn), volume)


def scoords(item: Dataset, root: Dataset) -> Iterator[tuple[np.ndarray, str]]:
    """(column, row) and the image of each, beneath an item of a report."""
    for child in item.get("ContentSequence", ()):
        if child.get("ValueType") == "SCOORD":
            yield np.reshape(child.GraphicData, (-1, 2)), image_of(child.ContentSequence[0], root)
        yield from scoords(child, root)


def image_of(item: Dataset, root: Dataset) -> str:
    if "ReferencedContentItemIdentifier" in item:
        place, item = item.ReferencedContentItemIdentifier, root
        for number in place[1:]:
            item = item.ContentSequence[number - 1]
    return item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID


def check_presentation_state(objects: Sequence[Dataset], volume: Volume) -> None:
    """Each slice's circle is about the middle of what the slice shows of the body."""
    (ds,) = objects
    images = {source.SOPInstanceUID: source for source in volume.sources}
    shown = {uid: points for uid, image in images.items() if len(points := awkward.body([image]))}
    drawn = {item.ReferencedImageSequence[0].ReferencedSOPInstanceUID: item for item in ds.GraphicAnnotationSequence}

    assert drawn.keys() == shown.keys()
    for uid, annotation in drawn.items():
        graphic = annotation.GraphicObjectSequence[0]
        points = placed(images[uid], np.reshape(graphic.GraphicData, (-1, 2)))
        centre = points[0] if graphic.GraphicType == "CIRCLE" else points[:-1].mean(axis=0)
        assert centre == pytest.approx(shown[uid].mean(axis=0), abs=1e-3)


def check_structure_set(objects: Sequence[Dataset], volume: Volume) -> None:
    (ds,) = objects
    contours = ds.ROIContourSequence[0].ContourSequence
    points = np.concatenate([np.reshape(np.array(contour.ContourData, float), (-1, 3)) for contour in contours])
    assert middle(points) == pytest.approx(middle(awkward.body(volume.sources)), abs=0.1)
    assert_within(points, volume)


def check_surfaces(objects: Sequence[Dataset], volume: Volume) -> None:
    (ds,) = objects
    surface = trimesh.load(BytesIO(ds.EncapsulatedDocument), file_type="stl")
    assert middle(surface.vertices) == pytest.approx(middle(awkward.body(volume.sources)), abs=0.5)
    assert_within(surface.vertices, volume)


def check_key_images(objects: Sequence[Dataset], volume: Volume) -> None:
    showing = {image.SOPInstanceUID for image in volume.sources if len(awkward.body([image]))}
    named = {uid for ds in objects for uid in image_references(ds)}
    assert named
    assert named & {image.SOPInstanceUID for image in volume.sources} <= showing


def image_references(item: Dataset) -> Iterator[str]:
    for child in item.get("ContentSequence", ()):
        if child.get("ValueType") == "IMAGE":
            yield child.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        yield from image_references(child)


CHECKS: Mapping[str, Callable[[Sequence[Dataset], Volume], None]] = {
    "seg": check_segmentation,
    "labelmap": check_segmentation,
    "sr": check_scoords,
    "cad_sr": check_scoords,
    "gsps": check_presentation_state,
    "pmap": check_frames,
    "rtstruct": check_structure_set,
    "stl": check_surfaces,
    "kos": check_key_images,
}
FOR_THE_EYE = {"sc", "pdf"}  # that it is drawn on the right place is seen in their own tests
ABOUT_OTHER_OBJECTS = {"rejection", "tree"}  # they draw nothing and name no image
NAMES = sorted(BUILDERS.keys() - ABOUT_OTHER_OBJECTS)


def placed(image: Dataset, points: np.ndarray) -> Points:
    """(column, row), the first pixel's centre at (0.5, 0.5) -> LPS mm."""
    return awkward.lps(image, points[:, 0] - 0.5, points[:, 1] - 0.5)


def middle(points: Points) -> np.ndarray:
    return (points.min(axis=0) + points.max(axis=0)) / 2


def assert_same_points(found: Points, expected: Points) -> None:
    assert len(found) == len(expected)
    assert {tuple(point) for point in found.round(2) + 0.0} == {tuple(point) for point in expected.round(2) + 0.0}


def assert_within(points: Points, volume: Volume) -> None:
    """Not farther from the body's voxels than a voxel."""
    voxels = awkward.body(volume.sources)
    margin = np.linalg.norm(volume.spacing_mm)
    assert (points > voxels.min(axis=0) - margin).all()
    assert (points < voxels.max(axis=0) + margin).all()


def test_of_every_object_it_is_known_how_to_see_where_it_lies():
    assert BUILDERS.keys() <= CHECKS.keys() | FOR_THE_EYE | ABOUT_OTHER_OBJECTS


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in FOR_THE_EYE])
def test_what_is_drawn_lies_where_the_source_has_it(name, way):
    volume = loaded_way(WAYS[way])

    objects = built(name, volume)

    CHECKS[name](objects, volume)


@pytest.mark.parametrize("name", NAMES)
def test_without_any_optional_tag_it_lies_there_too_and_is_as_valid(name, tmp_path):
    whole = loaded_way(Way())
    bare = loaded([altered(ds, **dict.fromkeys(OPTIONAL)) for ds in awkward.study(Way())])

    objects = built(name, bare)

    assert objects
    if name in CHECKS:
        CHECKS[name](objects, bare)
    assert errors_of(objects, tmp_path) <= errors_of(built(name, whole), tmp_path)


def errors_of(objects: Sequence[Dataset], folder: Path) -> set[str]:
    """What dciodvfy calls errors; some it finds in every object of a kind that it doesn't know well."""
    errors = set()
    for ds in objects:
        path = folder / "object.dcm"
        path.write_bytes(encode(ds))
        said = run(tool("dciodvfy", "Debian package dicom3tools"), path).stderr.splitlines()
        errors |= {line for line in said if line.startswith("Error")}
    return errors


@pytest.mark.parametrize("charset", NAMES_OF_PATIENTS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of bytes that aren't what the character set says
def test_who_the_patient_is_stays_byte_by_byte_as_the_source_has_it(name, charset):
    terms, patient_name = NAMES_OF_PATIENTS[charset]
    volume = loaded_with(terms, patient_name, b"12\\34")

    objects = built(name, volume)

    for ds in objects:
        assert ds.get_item("PatientName").value.rstrip(b" ") == patient_name
        assert ds.get_item("PatientID").value.rstrip(b" ") == b"12\\34"
        assert ds.StudyInstanceUID == volume.sources[0].StudyInstanceUID


def sheared(tilt_deg: float) -> list[Dataset]:
    return awkward.study(Way(orientation=awkward.turned(tilt_deg, 0.0), is_sheared=True))


def without_frame_of_reference() -> list[Dataset]:
    return [altered(ds, FrameOfReferenceUID=None) for ds in awkward.study(Way())]


def enhanced(slices: int) -> list[Dataset]:
    """The same as one multi-frame instance, the geometry in its functional groups."""
    source = awkward.study(Way())[:slices]
    return [hd.legacy.LegacyConvertedEnhancedCTImage(source, "1.2.3.4.5", 7, "1.2.3.4.5.6", 1)]


@pytest.mark.parametrize(
    ("datasets", "code"),
    [
        (lambda: sheared(8.0), Refusal.NOT_ORTHOGONAL),
        (lambda: sheared(1.0), Refusal.NOT_ORTHOGONAL),
        (lambda: awkward.study(Way(orientation=awkward.turned(30.0, 0.0))), Refusal.WRONG_ORIENTATION),
        (without_frame_of_reference, Refusal.GEOMETRY_MISSING),
        (lambda: enhanced(slices=14), Refusal.MULTI_FRAME),
        (lambda: enhanced(slices=1), Refusal.PIXELS_UNDECODABLE),
    ],
    ids=["tilted gantry", "slightly tilted gantry", "oblique", "no frame of reference", "enhanced CT", "enhanced CT of one frame"],
)
def test_what_can_not_be_placed_is_refused_by_a_code(datasets, code):
    with pytest.raises(UnusableSeries) as refused:
        loaded(datasets())

    assert refused.value.code is code
