"""The shipped classifiers on the three whole scans that none of them was tuned on."""

import numpy as np
import pytest

from cad_node.imaging.candidates import Candidate, find_candidates
from cad_node.inference.detect_nodules import score_candidates
from cad_node.inference.network import load_network
from cad_node.inference.segment_lungs import segment_lungs
from cad_node.manifest import PartFolder, read_part
from cad_node.shipped import shipped
from cad_node.training.detection.operating_points import CANDIDATES
from cad_node.training.detection.scans import DIAMETER_MM, LUNGS, Searched, froc_of, search_scans
from cad_node.training.detection.whole_scans import Mark, read_scans
from cad_node.training.recipe import Trained

MODELS = {"lung_nodule_ct": "lung_nodule_ct/2.0.1", "lung_nodule_lidc_ct": "lung_nodule_lidc_ct/1.0.1"}
MAX_FALSE_POSITIVES = 4  # a scan
PLACES = (("sure", (10.0, 20.0, 20.0), True), ("doubtful", (30.0, 20.0, 20.0), False))


def network_of(key: str):
    folder = shipped("models") / key
    if not folder.is_dir():
        pytest.skip(f"{folder} isn't there: make the model first")
    return load_network(PartFolder(folder, read_part(folder)), "cpu")


@pytest.fixture(scope="module")
def searched(real_data):
    """(scan, candidates)"""
    lungs_network = network_of(LUNGS)
    return [
        (scan, find_candidates(scan.volume, segment_lungs(scan.volume, lungs_network), DIAMETER_MM, CANDIDATES))
        for scan in read_scans(real_data)
    ]


@pytest.mark.slow
def test_every_marked_nodule_is_among_at_most_two_hundred_candidates(searched):
    assert [scan.name.split(",")[0] for scan, _ in searched] == ["LIDC-IDRI-0314", "LIDC-IDRI-0003", "Lung-PET-CT-Dx A0001"]
    for scan, candidates in searched:
        assert len(candidates) <= 200
        for mark in scan.marks:
            assert not mark.counts or any(mark.holds(candidate.index) for candidate in candidates), f"{scan.name}, {mark.name}"


@pytest.mark.slow
@pytest.mark.parametrize("key", MODELS.values(), ids=MODELS)
def test_sure_nodules_and_the_tumour_are_found_and_the_application_adds_few_false_positives(searched, key):
    network = network_of(key)
    threshold = network.parameters["threshold"]

    for scan, candidates in searched:
        scores = score_candidates(scan.volume, candidates, network)

        found = [candidate for candidate, score in zip(candidates, scores, strict=True) if score >= threshold]
        for mark in scan.marks:
            assert not mark.counts or any(mark.holds(candidate.index) for candidate in found), f"{scan.name}, {mark.name}"
        false = [candidate for candidate in found if not any(mark.holds(candidate.index) for mark in scan.marks)]
        if scan.name.startswith("LIDC") and key == MODELS["lung_nodule_ct"]:  # the application's
            assert len(false) <= MAX_FALSE_POSITIVES, scan.name


def test_a_data_folder_without_the_scans_has_none_searched(tmp_path):
    assert search_scans(Trained([], tmp_path, tmp_path), {}) == ()


def test_a_curve_over_scans_counts_hits_in_millimetres_and_leaves_out_what_few_readers_marked():
    nodule, doubtful = (Mark(name, low, (low[0] + 4, low[1] + 8, low[2] + 8), counts=counts) for name, low, counts in PLACES)
    candidates = [Candidate(index, 5.0, 1.0) for index in ((12.0, 24.0, 27.0), (32.0, 24.0, 24.0), (50.0, 24.0, 24.0))]
    one = Searched("a", (2.0, 1.0, 1.0), (nodule, doubtful), candidates, np.array([0.9, 0.8, 0.7], np.float32))
    other = Searched("b", (2.0, 1.0, 1.0), (nodule,), candidates[2:], np.array([0.95], np.float32))

    curve = froc_of([one, other])

    assert (curve.scans, curve.nodules) == (2, 2)
    assert curve.false_positives.tolist() == pytest.approx([0, 0.5, 0.5, 1.0])
    assert curve.sensitivity.tolist() == pytest.approx([0, 0, 0.5, 0.5])


def test_a_mark_holds_what_lies_in_its_box_or_a_voxel_beside():
    mark = Mark("m", (10.0, 20.0, 30.0), (12.0, 24.0, 34.0), counts=True)

    assert mark.holds((11.0, 22.0, 32.0))
    assert mark.holds((9.0, 25.0, 29.0))
    assert not mark.holds((11.0, 22.0, 35.5))
    assert not mark.holds((8.5, 22.0, 32.0))


@pytest.mark.slow
def test_lidc_0003_is_decoded_to_hu_in_the_place_of_the_whole_image(real_data):
    scan = next(scan for scan in read_scans(real_data) if "0003" in scan.name)

    assert scan.volume.voxels.shape == (114, 512, 512)
    assert scan.volume.voxels.min() == -1024
    assert scan.volume.voxels.max() == 600
    assert scan.volume.spacing_mm == pytest.approx((2.5, 0.820312, 0.820312))
    sure = [mark for mark in scan.marks if mark.counts]
    assert len(sure) == 3
    for mark in sure:  # solid nodules: the middle is denser than lung
        z, y, x = (round((low + high) / 2) for low, high in zip(mark.low, mark.high, strict=True))
        assert np.median(scan.volume.voxels[z, y - 2 : y + 3, x - 2 : x + 3]) > -300
