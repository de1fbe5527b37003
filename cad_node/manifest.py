"""model.toml: a network's graph and numbers; for one that takes studies also which series, and what it means."""

import hashlib
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from cad_node.errors import ManifestError, Refusal
from cad_node.scope_limits import Scope
from cad_node.slices import Vector, along_mm, gaps, normal_of, rounded
from cad_node.study import Series, Study

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

_VERSION = re.compile(r"\d+\.\d+\.\d+")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=48)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
PartKey = Annotated[str, StringConstraints(pattern=rf"^[a-z][a-z0-9_]*/{_VERSION.pattern}$")]
FileInFolder = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*(/\w[\w.-]*)*$")]  # below the model's folder
TaskName = Literal["analyse_lungs"]  # keys of TASKS, app/worker.py
AXIAL_COSINE = 0.98  # least cosine between a slice's normal and the patient's long axis: 11 degrees


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Concept(_Table):
    """A coded concept, PS3.16 8: value, coding scheme designator, meaning."""

    value: str
    scheme: str
    meaning: str

    @property
    def code(self) -> "Code":
        from pydicom.sr.coding import Code  # noqa: PLC0415 - 14 MB of concepts, for which the listener has no use

        return Code(self.value, self.scheme, self.meaning)


class Range(_Table):
    min: float
    max: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is greater than max {self.max}")
        return self

    def holds(self, value: float) -> bool:
        return self.min <= value <= self.max

    def __str__(self) -> str:
        return f"{self.min:g} to {self.max:g}"


class Accepts(_Table):
    """Which series the model may be run on. Checked on the index; spacing and geometry again when the series is loaded."""

    modality: tuple[str, ...]
    sop_class_uid: tuple[str, ...]
    body_part: tuple[str, ...]  # BodyPartExamined values; a series without the tag is taken too
    image_type_excluded: tuple[str, ...] = ()
    slices: Range
    slice_spacing_mm: Range
    pixel_spacing_mm: Range
    orientation: Literal["axial"] = "axial"
    scope: Scope = Scope()  # judged in the image, when it is loaded


class Graph(_Table):
    """The ONNX file: what goes in (HU: windowing is inside), what comes out."""

    file: FileInFolder = "model.onnx"
    sha256: Sha256
    input: str
    input_shape: tuple[int | str, ...]  # a string names a dynamic axis
    outputs: tuple[str, ...] = Field(min_length=1)


class Golden(_Table):
    """A case that is run each time the model is loaded: inputs, and the outputs by name that they must give."""

    inputs: FileInFolder = "golden/inputs.npy"
    outputs: FileInFolder = "golden/outputs.npz"
    tolerance: float = Field(gt=0)


class Half(_Table):
    """The same graph with 16-bit weights and sums; inputs and outputs stay 32-bit. It has a golden case of its own."""

    file: FileInFolder = "model.fp16.onnx"
    sha256: Sha256
    golden: Golden


class Candidates(_Table):
    """Bounds of the candidate search."""

    diameter_mm: Range
    limit: int


class Output(_Table):
    """What the network's number means."""

    meaning: Concept
    finding: Concept
    site: Concept
    diameter_mm: Range  # of what is reported
    limit: int = Field(gt=0)  # findings reported at most, best first


class Choice(NamedTuple):
    """The series a model will be run on, or why there is none."""

    series: Series | None
    refusal: Refusal | None
    sentence: str


class Part(_Table):
    """A network: its graph, the numbers that go with it, and the case that guards it."""

    name: Name
    version: Annotated[str, StringConstraints(pattern=rf"^{_VERSION.pattern}$")]
    title: str
    manufacturer: str
    graph: Graph
    half: Half | None = None
    parameters: Mapping[str, float] = {}  # thresholds and the like, chosen on validation data
    golden: Golden


class Manifest(Part):
    """A network that takes studies, with the other networks its task uses."""

    task: TaskName
    accepts: Accepts
    parts: Mapping[Name, PartKey] = {}  # what it is for in the task -> name/version of its folder
    candidates: Candidates
    output: Output

    def accepts_series(self, series: Series) -> str:
        """Why this series isn't taken, as a phrase; empty if it is."""
        return self.refuses_kind(series) or self._refuses_extent(series)

    def refuses_kind(self, series: Series) -> str:
        """Why this series isn't taken however many more of its images come, as a phrase; empty if it may be."""
        accepts = self.accepts
        if series.modality not in accepts.modality:
            return f"modality {series.modality or 'missing'}, wanted {' or '.join(accepts.modality)}"
        classes = {instance.sop_class_uid for instance in series.instances}
        if not classes & set(accepts.sop_class_uid):
            return f"SOP class {', '.join(sorted(classes))} isn't one the model reads"
        body_part = str(series.header_value("BodyPartExamined") or "").upper()
        if body_part and body_part not in accepts.body_part:
            return f"body part {body_part}, wanted {' or '.join(accepts.body_part)}"
        excluded = set(series.header_value("ImageType") or ()) & set(accepts.image_type_excluded)
        if excluded:
            return f"image type {', '.join(sorted(excluded))}"
        return self._refuses_planes(series)

    def _refuses_planes(self, series: Series) -> str:
        """What the index tells of the slices' planes; a series that tells nothing is judged when it is loaded."""
        normal, pixel_mm = _normal(series), series.header_value("PixelSpacing")
        if normal is None:
            return ""
        if abs(normal[2]) < AXIAL_COSINE:
            return "slices aren't axial"
        if pixel_mm and not all(self.accepts.pixel_spacing_mm.holds(mm) for mm in pixel_mm):
            return f"pixel spacing {pixel_mm[0]:g} mm, wanted {self.accepts.pixel_spacing_mm}"
        return ""

    def _refuses_extent(self, series: Series) -> str:
        """What the images that have come so far tell, and more may tell otherwise."""
        count, normal = len(series.instances), _normal(series)
        if not self.accepts.slices.holds(count):
            return f"{count} images, wanted {self.accepts.slices}"
        if normal is None:
            return ""
        positions = [instance.header.get("ImagePositionPatient") for instance in series.instances]
        along = sorted({round(along_mm(normal, position), 3) for position in positions if position and len(position) == 3})
        gap_mm = median(gaps(along)) if len(along) > 1 else None
        if gap_mm is not None and not self.accepts.slice_spacing_mm.holds(gap_mm):
            return f"slice spacing {gap_mm:g} mm, wanted {self.accepts.slice_spacing_mm}"
        return ""

    def choose(self, study: Study) -> Choice:
        """The series to run on: of those accepted, the one with the most images (the thinnest slices)."""
        reasons = {series.series_instance_uid: self.accepts_series(series) for series in study.series}
        accepted = [series for series in study.series if not reasons[series.series_instance_uid]]
        if accepted:
            best = max(accepted, key=lambda series: (len(series.instances), series.series_instance_uid))
            return Choice(best, None, "")
        listed = "; ".join(f"series {uid}: {reason}" for uid, reason in reasons.items()) or "the study holds no series"
        return Choice(None, Refusal.NO_MATCHING_SERIES, f"no series fits {self.name}: {listed}")


def _normal(series: Series) -> Vector | None:
    """Of the slices, LPS; None where the index tells none, or several: whichever instance came first must not decide."""
    told = [instance.header.get("ImageOrientationPatient") for instance in series.instances]
    orientations = {rounded(values): values for values in told if values and len(values) == 6}
    if len(orientations) != 1:
        return None
    (orientation,) = orientations.values()
    return normal_of(orientation)


@dataclass(frozen=True, slots=True)
class PartFolder:
    """A model folder whose model.toml was read and checked."""

    path: Path
    part: Part


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The folder of a model that takes studies, and those of its parts, by what they are for."""

    path: Path
    manifest: Manifest
    parts: Mapping[str, PartFolder]

    @property
    def key(self) -> tuple[str, str]:
        return self.manifest.name, self.manifest.version


def read_models(models_dir: Path, enabled: Collection[str] = ()) -> tuple[tuple[ModelFolder, ...], tuple[ManifestError, ...]]:
    """Every model to run below `models_dir`, and what is wrong with those that can't be.

    enabled: name or name/version; empty takes the newest version of each that takes studies. One bad folder never hides the others.
    """
    if not models_dir.is_dir():
        return (), (ManifestError(models_dir, "models.dir", "no such folder"),)
    folders, errors = [], []
    for path in _wanted(models_dir, enabled):
        try:
            part = read_part(path)
            if isinstance(part, Manifest):
                folders.append(ModelFolder(path, part, _read_parts(path, part)))
            elif enabled:
                raise ManifestError(path / "model.toml", "task", "missing: this is a part of other models; enable one that uses it")
        except ManifestError as error:
            errors.append(error)
    return tuple(folders), tuple(errors)


def read_model(folder: Path) -> ModelFolder:
    """The model that takes studies in `folder`, with its parts. Raises ManifestError naming the file and the key."""
    part = read_part(folder)
    if not isinstance(part, Manifest):
        raise ManifestError(folder / "model.toml", "task", "missing: this is a part of other models")
    return ModelFolder(folder, part, _read_parts(folder, part))


def _read_parts(folder: Path, manifest: Manifest) -> dict[str, PartFolder]:
    parts = {}
    for role, key in manifest.parts.items():
        path = folder.parent.parent / key
        try:
            parts[role] = PartFolder(path, read_part(path))
        except ManifestError as exc:
            raise ManifestError(folder / "model.toml", f"parts.{role}", f"{key} can't be used: {exc}") from exc
    return parts


def _wanted(models_dir: Path, enabled: Collection[str]) -> list[Path]:
    names = enabled or sorted(path.name for path in models_dir.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [models_dir / name if "/" in name else newest_version(models_dir / name) for name in names]


def every_folder(models_dir: Path) -> list[Path]:
    """Every version of every model and part below `models_dir`, whether a node runs it or not."""
    return sorted(file.parent for file in models_dir.glob("*/*/model.toml"))


def newest_version(model: Path) -> Path:
    versions = [path for path in model.iterdir() if _VERSION.fullmatch(path.name)] if model.is_dir() else []
    newest = max(versions, key=lambda path: [int(part) for part in path.name.split(".")], default=None)
    return newest or model / "0.0.0"  # read_part then says that there is no model.toml


def read_part(folder: Path) -> Part:
    """Read and check folder/model.toml, and that its ONNX files are those it was written for; a Manifest if it names a task.

    Raises ManifestError naming the file and the key.
    """
    file = folder / "model.toml"
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ManifestError(file, "-", f"{exc.strerror}; a model folder holds model.toml and model.onnx") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ManifestError(file, "-", f"not readable as TOML: {exc}") from exc
    try:
        part = (Manifest if "task" in table else Part).model_validate(table)
    except ValidationError as exc:
        first = exc.errors()[0]
        raise ManifestError(file, ".".join(str(part) for part in first["loc"]), first["msg"]) from exc
    if (part.name, part.version) != (folder.parent.name, folder.name):
        raise ManifestError(file, "name", f"says {part.name}/{part.version}, the folder says {folder.parent.name}/{folder.name}")
    _check_sha256(folder / part.graph.file, "graph", part.graph.sha256)
    if part.half:
        _check_sha256(folder / part.half.file, "half", part.half.sha256)
    return part


def _check_sha256(file: Path, table: str, expected: str) -> None:
    try:
        with file.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as exc:
        raise ManifestError(file, f"{table}.file", str(exc.strerror)) from exc
    if actual != expected:
        why = f"the file's SHA-256 is {actual}, model.toml says {expected}; restore the file it was released with"
        raise ManifestError(file, f"{table}.sha256", why)
