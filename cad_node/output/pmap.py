"""The findings' heat as a Parametric Map at the source's geometry, PS3.3 A.75; docs/explainability.md says how to read it."""

from collections.abc import Sequence

import numpy as np
from highdicom import VOILUTFunctionValues, VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.sr import CodeContentItem
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from cad_node.findings import Findings, Heat
from cad_node.imaging.volume import Volume
from cad_node.output.builder import Run, derive_uid
from cad_node.output.codes import site_and_side
from cad_node.output.equipment import REVIEW_REMARK, general_equipment, series_description
from cad_node.output.headers import reference_headers
from cad_node.output.segment_frames import finish, one_pixel, put_in_order
from cad_node.output.segments import concept

SERIES_NUMBER = 9109  # of every Parametric Map
MOST_BYTES = 400 * 2**20  # of pixels, up to which every slice of the source has its frame: 400 slices of 512 x 512
VALUE_BYTES = 4
NONE = np.float32(-np.inf)  # while a plane is made: no heat yet, below what any has

Floats = NDArray[np.float32]


def build_pmap(volume: Volume, findings: Findings, run: Run) -> Sequence[Dataset]:
    """The heat of all findings in one object: the greater value where two overlap, 0 where there is none. Nothing if no finding has any.

    A frame for each slice of the source, in the volume's order: OHIF takes frame n for slice n, whatever the frames say of themselves.
    Of a series that would take more than MOST_BYTES, the slices with heat only.
    Raises ValueError if the findings' heats aren't of one quantity.
    """
    heats = [finding.heat for finding in findings.findings if finding.heat]
    if not heats:
        return []
    headers = reference_headers(volume, run)
    planes = _planes(heats, volume.voxels.shape)
    shown = range(len(headers)) if volume.voxels.size * VALUE_BYTES <= MOST_BYTES else sorted(planes)
    ds = _lay_out([headers[index] for index in shown], headers[0], heats, run)
    empty = bytes(ds.Rows * ds.Columns * VALUE_BYTES)
    ds.FloatPixelData = b"".join(planes[index].data if index in planes else empty for index in shown)
    put_in_order(ds, headers)
    finish(ds, headers[0], "pmap", run)
    ds.pop("Laterality", None)  # the frames have theirs, PS3.3 C.7.3.1
    return [ds]


def pmap_instance_uid(run: Run) -> str:
    """SOP Instance UID of the run's Parametric Map, for those that refer to it."""
    return derive_uid(run, "pmap", "instance")


def pmap_series_uid(run: Run) -> str:
    return derive_uid(run, "pmap", "series")


def _planes(heats: Sequence[Heat], shape: tuple[int, ...]) -> dict[int, Floats]:
    """(row, column) values of each slice with heat."""
    planes: dict[int, Floats] = {}
    for heat in heats:
        box = tuple(slice(at, at + length) for at, length in zip(heat.origin[1:], heat.values.shape[1:], strict=True))
        for index, values in enumerate(heat.values, heat.origin[0]):
            plane = planes.setdefault(index, np.full(shape[1:], NONE, "<f4"))
            np.maximum(plane[box], values, out=plane[box])
    for plane in planes.values():
        plane[plane == NONE] = 0
    return planes


def _lay_out(headers: Sequence[Dataset], first: Dataset, heats: Sequence[Heat], run: Run) -> ParametricMap:
    """The whole object, but for its pixels: every frame is one pixel, for highdicom copies all it is given several times.

    headers: of the slices shown; first: the volume's, with patient and study.
    """
    sources = [one_pixel(header) for header in headers]
    sources[0].update({element.tag: element for element in first if element.tag not in sources[0]})
    ds = ParametricMap(
        source_images=sources,
        pixel_array=np.zeros((len(headers), 1, 1), np.float32),
        series_instance_uid=pmap_series_uid(run),
        series_number=SERIES_NUMBER,
        series_description=series_description(run, "heat map"),
        sop_instance_uid=pmap_instance_uid(run),
        instance_number=1,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping(heats)],
        voi_lut_transformations=[_window(heats)],
        content_label="HEAT_MAP",
        content_description=REVIEW_REMARK,
        content_creator_name=f"cad_node^{run.manifest.name}",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set=None,  # stamp() sets it
        **general_equipment(run),
    )
    ds.Rows, ds.Columns = first.Rows, first.Columns
    ds.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [_anatomy(run)]  # dcmqi's reader wants one
    return ds


def _anatomy(run: Run) -> Dataset:
    """The site that the model looks at, PS3.3 C.7.6.16.2.8; a frame shows both of a pair."""
    site = site_and_side(run.manifest.output.site.code)
    item = Dataset()
    item.FrameLaterality = "B"
    item.AnatomicRegionSequence = [concept(site.region)]
    return item


def _mapping(heats: Sequence[Heat]) -> RealWorldValueMapping:
    """What a value means: stored values are the real world's, PS3.3 C.7.6.16.2.11."""
    quantities = {(heat.meaning, heat.unit) for heat in heats}
    if len(quantities) > 1:
        raise ValueError(f"the findings' heats are of {len(quantities)} quantities; give all findings of a run the heat of one score")
    ((meaning, unit),) = quantities
    mapping = RealWorldValueMapping(
        lut_label=meaning.value,
        lut_explanation=f"{meaning.meaning}, as logit"[:64],
        unit=unit,
        value_range=(min(0.0, *(float(heat.values.min()) for heat in heats)), max(0.0, *(float(heat.values.max()) for heat in heats))),
        slope=1.0,
        intercept=0.0,
        quantity_definition=meaning,
    )
    method = CodeContentItem(codes.SCT.MeasurementMethod, codes.DCM.ClassActivation)  # (130402, DCM), CID 218
    mapping.QuantityDefinitionSequence.append(method)
    return mapping


def _window(heats: Sequence[Heat]) -> VOILUTTransformation:
    """From nothing to the strongest evidence, for or against: where all speaks against, none of it shows as if it spoke for."""
    strongest = max(float(np.abs(heat.values).max()) for heat in heats)
    width = max(round(strongest, 4), 0.0001)
    exact = VOILUTFunctionValues.LINEAR_EXACT  # the only linear one whose window may be narrower than 1, PS3.3 C.11.2.1.3.2
    return VOILUTTransformation([width / 2], [width], ["Evidence for"], voi_lut_function=exact)
