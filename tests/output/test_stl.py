"""Encapsulated STL, re-read: the surface itself and what the object says of it."""

from io import BytesIO

import numpy as np
import pytest
import trimesh
from pydicom import dcmread

from cad_node.findings import Findings
from cad_node.output.file import encode
from cad_node.output.segments import describe_segments
from cad_node.output.stl import build_stl, stl_instance_uid, stl_series_uid
from tests.factory import altered
from tests.interop.tools import dciodvfy_errors
from tests.output import case


def reread(objects):
    return [dcmread(BytesIO(encode(ds))) for ds in objects]


def mesh_of(ds):
    return trimesh.load(BytesIO(ds.EncapsulatedDocument), file_type="stl")


def test_each_segment_has_a_closed_surface_as_large_as_its_mask_and_where_it_is():
    volume = case.volume()
    findings = case.findings(volume)

    models = reread(build_stl(volume, findings, case.run()))

    voxel_mm3 = np.prod(volume.spacing_mm)
    for ds, item in zip(models, (*findings.findings, *findings.organs), strict=True):
        mesh = mesh_of(ds)
        centres = np.argwhere(case.full_mask(item.region, volume.voxels.shape)) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        assert mesh.is_watertight
        assert mesh.volume == pytest.approx(item.region.mask.sum() * voxel_mm3, rel=0.02)
        assert mesh.center_mass == pytest.approx(centres.mean(axis=0), abs=0.1)


def test_title_number_and_colour_are_the_segment_s():
    volume = case.volume()
    findings = case.findings(volume)

    models = reread(build_stl(volume, findings, case.run()))

    segments = describe_segments(findings, case.run())
    assert [ds.DocumentTitle for ds in models] == ["Nodule 1", "Nodule 2", "Nodule 3", "Right lung", "Left lung"]
    assert [ds.InstanceNumber for ds in models] == [1, 2, 3, 4, 5]
    assert [list(ds.RecommendedDisplayCIELabValue) for ds in models] == [list(item.RecommendedDisplayCIELabValue) for item in segments]
    assert [ds.SOPInstanceUID for ds in models] == [stl_instance_uid(case.run(), number) for number in range(1, 6)]
    assert {ds.SeriesInstanceUID for ds in models} == {stl_series_uid(case.run())}


def test_it_says_unit_frame_and_kind():
    volume = case.volume()

    ds, *_ = reread(build_stl(volume, case.findings(volume), case.run()))

    (unit,) = ds.MeasurementUnitsCodeSequence
    assert (unit.CodeValue, unit.CodingSchemeDesignator) == ("mm", "UCUM")
    assert (ds.Modality, ds.MIMETypeOfEncapsulatedDocument, ds.BurnedInAnnotation) == ("M3D", "model/stl", "NO")
    assert ds.FrameOfReferenceUID == volume.sources[0].FrameOfReferenceUID
    assert "LPS mm" in ds.ContentDescription
    assert b"SPACE=LPS" in ds.EncapsulatedDocument[:80]
    assert ds.EncapsulatedDocumentLength == len(ds.EncapsulatedDocument)
    assert ds.ConceptNameCodeSequence[0].CodeMeaning == "CT 3D CAM model"


def test_it_refers_to_the_images_that_the_segment_lies_on():
    volume = case.volume()
    findings = case.findings(volume)

    ds, *_ = reread(build_stl(volume, findings, case.run()))

    shown = [source.SOPInstanceUID for source in volume.sources[findings.findings[0].region.slices[0]]]
    assert [item.ReferencedSOPInstanceUID for item in ds.SourceInstanceSequence] == shown
    (series,) = ds.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == volume.series_instance_uid
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence] == shown


def test_a_modality_without_a_title_of_its_own_leaves_it_empty():
    volume = case.volume()
    sources = tuple(altered(source, Modality="PT") for source in volume.sources)
    of_pet = type(volume)(volume.voxels, volume.affine, sources)

    ds, *_ = reread(build_stl(of_pet, case.findings(volume), case.run()))

    assert len(ds.ConceptNameCodeSequence) == 0


def test_neither_organ_nor_finding_makes_none():
    volume = case.volume()

    built = build_stl(volume, Findings((), ()), case.run())

    assert not built


def test_dciodvfy_finds_no_error(tmp_path):
    volume = case.volume()
    paths = []
    for number, ds in enumerate(build_stl(volume, case.findings(volume), case.run()), 1):
        paths.append(tmp_path / f"{number}.dcm")
        paths[-1].write_bytes(encode(ds))

    errors = dciodvfy_errors(*paths)

    assert errors == []
