"""Nodules come out of the set as readers drew them, in HU; what can't be trusted is left out."""

import os
from pathlib import Path

import numpy as np
import pytest

from cad_node.training.nodules.annotated import AnnotatedNodule, read_nodules
from cad_node.training.samples import DataError, Split
from cad_node.training.splits import split_of
from tests.training.nodules.small_set import SLICES, TISSUE_GREY, pack, row, write_set

PATIENT = "LIDC-IDRI-0003"


def read_one(folder: Path, **changed: str) -> list[AnnotatedNodule]:
    return read_nodules(write_set(folder, [row("0003_00", PATIENT, **changed)]))[0]


def test_grey_becomes_hu_and_bits_become_readers(tmp_path):
    (nodule,) = read_one(tmp_path)

    assert nodule.hu.shape == (SLICES, 64, 64)
    assert nodule.readers.shape == (4, SLICES, 64, 64)
    assert np.median(nodule.hu[nodule.readers[0]]) == pytest.approx(40, abs=10)
    assert np.median(nodule.hu[~nodule.readers.any(axis=0)]) == pytest.approx(-860, abs=10)


def test_consensus_is_what_half_of_the_readers_drew(tmp_path):
    (nodule,) = read_one(tmp_path)

    assert (nodule.consensus == (nodule.readers.sum(axis=0) >= 2)).all()


def test_packed_and_unpacked_read_alike(tmp_path, small_set):
    unpacked, unpacked_sha256 = read_nodules(small_set)
    packed, packed_sha256 = read_nodules(pack(small_set, tmp_path / "packed"))

    assert packed_sha256 == unpacked_sha256
    assert [nodule.key for nodule in packed] == [nodule.key for nodule in unpacked]
    assert all((a.hu == b.hu).all() and (a.readers == b.readers).all() for a, b in zip(packed, unpacked, strict=True))


def test_a_reader_whose_mask_is_not_what_was_drawn_is_ignored_with_what_he_said(tmp_path):
    (nodule,) = read_one(tmp_path, mask_iou_vs_pylidc_per_reader="1.00 0.94 0.00 0.95", malignancy_per_reader="1 2 3 4")

    assert len(nodule.readers) == 2
    assert nodule.ratings["malignancy"] == (1, 4)


@pytest.mark.parametrize(
    "changed",
    [
        {"has_padding": "1"},
        {"n_readers": "5"},
        {"mask_iou_vs_pylidc_per_reader": "0 0 0 0"},
        {"tissue_gray_per_slice": f"{TISSUE_GREY} {TISSUE_GREY}   {TISSUE_GREY}"},
        {"tissue_gray_per_slice": " ".join(["20"] * SLICES)},  # as where the darkest was padding, not air
    ],
    ids=["near padding", "more contours than readers", "no mask that was drawn", "no grey of tissue", "bright lung"],
)
def test_what_cannot_be_told_is_left_out(tmp_path, changed):
    assert read_one(tmp_path, **changed) == []


def test_a_missing_image_is_named(tmp_path):
    folder = write_set(tmp_path, [row("0003_00", PATIENT)])
    (folder / "mask" / "0003_00.png").unlink()

    with pytest.raises(DataError, match=r"mask/0003_00\.png is missing"):
        read_nodules(folder)


@pytest.mark.parametrize("content", [b"", b"file,patient\n0003_00,somebody\n"], ids=["empty", "other columns"])
def test_another_table_is_refused(tmp_path, content):
    (tmp_path / "nodules.csv").write_bytes(content)

    with pytest.raises(DataError, match=r"nodules\.csv"):
        read_nodules(tmp_path)


@pytest.mark.parametrize("content", [b"not an archive", b"\xfd7zXZ\x00 but no more"])
def test_a_broken_archive_is_refused(tmp_path, content):
    (tmp_path / "nodules.csv").write_text("file\n")
    (tmp_path / "slices.tar.xz").write_bytes(content)

    with pytest.raises(DataError, match=r"slices\.tar\.xz"):
        read_nodules(tmp_path)


def test_an_image_that_is_none_is_refused(tmp_path):
    folder = write_set(tmp_path, [row("0003_00", PATIENT)])
    (folder / "img" / "0003_00.png").write_bytes(b"not an image")

    with pytest.raises(DataError, match="0003_00"):
        read_nodules(folder)


def test_a_folder_without_nodules_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"nodules\.csv"):
        read_nodules(tmp_path)


@pytest.mark.skipif("CAD_NODE_DATA" not in os.environ, reason="CAD_NODE_DATA is unset: the folder of real data sets")
def test_the_published_set_is_the_one_that_the_models_were_trained_on():
    nodules, sha256 = read_nodules(Path(os.environ["CAD_NODE_DATA"]) / "lidc_nodule_slices")

    splits = [split_of(nodule.patient) for nodule in nodules]

    assert sha256 == "7b77ebb3c42fb93b2ec22987020ecb08113e46119a5488b0e6b581c65f5d8b77"
    assert [splits.count(split) for split in Split] == [1633, 288, 329]
    assert {nodule.key[:4] for nodule, split in zip(nodules, splits, strict=True) if split is not Split.TEST}.isdisjoint({"0003", "0314"})
