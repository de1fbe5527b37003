"""The root of a run's results, re-read by highdicom."""

from dataclasses import replace
from io import BytesIO
from typing import get_args

import highdicom as hd
import pytest
from pydicom import dcmread

from cad_node import pipeline
from cad_node.objects import ObjectName, Profile
from cad_node.output.codes import OBJECT_KINDS
from cad_node.output.file import encode
from cad_node.output.kos import build_kos
from cad_node.output.rejection import build_rejection
from cad_node.output.seg import build_seg
from cad_node.output.sr import build_sr
from cad_node.output.tree import build_tree
from tests.output import case

BUILDERS = {"seg": build_seg, "sr": build_sr, "kos": build_kos, "rejection": build_rejection}


@pytest.fixture(scope="module")
def volume():
    return case.volume()


def built(volume, *profiles, nodules=3, run=None):
    return pipeline.build(volume, case.findings(volume, nodules), run or case.run(), BUILDERS, profiles)


def roots(volume, *profiles, **more):
    """By edition."""
    found = [one for one in built(volume, *profiles, **more) if one.builder == "tree"]
    return {one.edition: hd.sr.Comprehensive3DSR.from_dataset(dcmread(BytesIO(encode(one.dataset)))) for one in found}


def catalogue(sr):
    """(SOP Instance UID, by what name) of each object that the root links."""
    section = container(sr, "DICOM Object Catalog")
    return [(item.referenced_sop_instance_uid, item.name.meaning) for item in section.ContentSequence]


def container(sr, meaning):
    return next(item for item in sr.content[0].ContentSequence if item.name.meaning == meaning)


def test_it_links_each_object_that_the_destination_gets_by_what_it_is(volume):
    objects = {one.builder: one.dataset for one in built(volume, Profile(("seg", "sr", "kos", "tree")))}

    (sr,) = roots(volume, Profile(("seg", "sr", "kos", "tree"))).values()

    assert catalogue(sr) == [
        (objects["seg"].SOPInstanceUID, "Segmentation"),
        (objects["sr"].SOPInstanceUID, "Imaging Measurement Report"),
        (objects["kos"].SOPInstanceUID, "Of Interest"),
    ]


def test_each_set_of_objects_has_a_root_of_its_own(volume):
    profiles = (Profile(("sr", "tree")), Profile(("tree", "sr")), Profile(("seg", "tree"), keeps_empty_frames=True), Profile(("seg",)))

    found = roots(volume, *profiles)

    assert {edition: [name for _, name in catalogue(sr)] for edition, sr in found.items()} == {
        "sr+tree": ["Imaging Measurement Report"],
        "seg+tree+all-frames": ["Segmentation"],
    }
    assert len({sr.SOPInstanceUID for sr in found.values()}) == 2


def test_it_links_the_segmentation_with_the_frames_that_the_destination_gets(volume):
    every_frame, some = Profile(("seg", "tree"), keeps_empty_frames=True), Profile(("seg", "tree"))
    segmentations = {one.edition: one.dataset.SOPInstanceUID for one in built(volume, every_frame, some) if one.builder == "seg"}

    found = roots(volume, every_frame, some)

    assert [uid for uid, _ in catalogue(found["seg+tree"])] == [segmentations[""]]
    assert [uid for uid, _ in catalogue(found["seg+tree+all-frames"])] == [segmentations["all-frames"]]


def test_evidence_is_the_source_and_the_linked_objects(volume):
    (sr,) = roots(volume, Profile(("seg", "sr", "tree"))).values()

    evidence = {uids[2] for uids in sr.get_evidence()}

    assert evidence == {source.SOPInstanceUID for source in volume.sources} | {uid for uid, _ in catalogue(sr)}


def test_it_says_what_came_out_in_codes_and_words(volume):
    (sr,) = roots(volume, Profile(("sr", "tree"))).values()

    said = {item.name.meaning: item.value for item in container(sr, "Qualitative Evaluations").ContentSequence}
    findings = [item.value for item in container(sr, "Findings").ContentSequence]

    assert (said["Algorithm Name"], said["Algorithm Version"]) == ("Lung nodules on chest CT", "1.0.0")
    assert said["CAD Processing and Findings Summary"].meaning == "All algorithms succeeded; with findings"
    assert said["Comment"] == "Nodule: 3 detected by the algorithm. Not for diagnostic use without review."
    assert findings[0] == "Nodule 1 in right lung: 3.8 x 3.8 mm, 123 mm3; Certainty of Finding 80 %"


def test_viewers_cannot_take_it_for_a_measurement_report(volume):
    positive, negative = (roots(volume, Profile(("sr", "tree")), nodules=nodules)["sr+tree"] for nodules in (2, 0))

    titles = {sr.ConceptNameCodeSequence[0].CodeMeaning for sr in (positive, negative)}

    assert titles == {"Chest CAD Report"}


def test_a_rejection_is_no_result(volume):
    run = case.later_run()

    (sr,) = roots(volume, Profile(("sr", "tree", "rejection")), run=run).values()

    assert [name for _, name in catalogue(sr)] == ["Imaging Measurement Report"]


def test_it_follows_the_root_of_its_own_edition(volume):
    other = replace(case.EARLIER[-1], edition="seg+sr+tree", sop_instance_uid="2.25.75")
    run = replace(case.run(), supersedes=(*case.EARLIER, other))

    (sr,) = roots(volume, Profile(("sr", "tree")), run=run).values()

    (study,) = sr.PredecessorDocumentsSequence
    assert [item.ReferencedSOPInstanceUID for item in study.ReferencedSeriesSequence[0].ReferencedSOPSequence] == ["2.25.74"]


def test_without_objects_there_is_no_root(volume):
    assert build_tree(volume, case.findings(volume), case.run(), [], "tree") == []


def test_whatever_a_run_makes_has_a_title_or_a_kind():
    documents = {"sr", "cad_sr", "kos", "rejection", "tree"}

    assert set(get_args(ObjectName)) == documents | OBJECT_KINDS.keys()
