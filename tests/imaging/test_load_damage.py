"""A damaged file is loaded or refused, wherever the damage is; it never crashes the worker."""

import contextlib
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from cad_node.errors import Refusal, UnusableSeries
from cad_node.imaging.volume import Volume
from tests.factory import ct_study, save_study
from tests.imaging.series import SERIES_UID, load_files

HU = np.random.default_rng(1).integers(-1000, 1500, (3, 12, 14)).astype(np.int16)


@pytest.fixture(params=[ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless], ids=lambda uid: uid.name)
def paths(request, tmp_path) -> list[Path]:
    datasets = ct_study(voxels=HU)
    for ds in datasets:
        if request.param == RLELossless:
            ds.compress(RLELossless, generate_instance_uid=False)
        else:
            ds.file_meta.TransferSyntaxUID = request.param
    return save_study(datasets, tmp_path)


def test_a_file_cut_anywhere_is_refused(paths):
    whole = paths[1].read_bytes()

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, len(whole) - 20))
    def cut(length):
        paths[1].write_bytes(whole[:length])
        with pytest.raises(UnusableSeries) as caught:
            load_quietly(paths)
        assert caught.value.code in {Refusal.FILE_UNREADABLE, Refusal.PIXELS_MISSING, Refusal.PIXELS_UNDECODABLE}

    cut()


def test_a_file_with_wrong_bytes_is_loaded_or_refused(paths):
    whole = paths[1].read_bytes()

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.dictionaries(st.integers(132, len(whole) - 1), st.integers(0, 255), min_size=1, max_size=4))
    def damage(changes):
        content = bytearray(whole)
        for place, value in changes.items():
            content[place] = value
        paths[1].write_bytes(content)
        with contextlib.suppress(UnusableSeries):
            assert load_quietly(paths).voxels.shape == HU.shape

    damage()


@pytest.mark.parametrize(
    ("stored", "damaged", "code"),
    [
        (b"1.2.840.10008.1.2.1\0", b"1.2.840.99999.1.2.1\0", Refusal.PIXELS_UNDECODABLE),
        (b"\x28\x00\x53\x10DS\x04\x001.0 ", b"\x28\x00\x53\x10DS\x04\x00one ", Refusal.FILE_UNREADABLE),
    ],
    ids=["an unknown transfer syntax", "a rescale slope that is no number"],
)
def test_a_damaged_value_has_its_code(stored, damaged, code, tmp_path):
    paths = save_study(ct_study(voxels=HU), tmp_path)
    content = paths[1].read_bytes()
    paths[1].write_bytes(content.replace(stored, damaged))

    with pytest.raises(UnusableSeries) as caught:
        load_quietly(paths)

    assert caught.value.code is code, caught.value.sentence
    assert SERIES_UID in caught.value.sentence


def test_a_codec_that_panics_is_a_refusal(tmp_path):
    datasets = ct_study(voxels=HU)
    for ds in datasets:
        ds.compress(RLELossless, generate_instance_uid=False)
    paths = save_study(datasets, tmp_path)
    content = paths[1].read_bytes()
    segment = content.index(b"\x02\0\0\0\x40\0\0\0") + 64  # behind the RLE header with its two offsets, PS3.5 G.5
    runs = b"\x81\0" * 40  # each of 128 bytes, more than the plane holds
    paths[1].write_bytes(content[:segment] + runs + content[segment + len(runs) :])

    with pytest.raises(UnusableSeries) as caught:
        load_quietly(paths)

    assert caught.value.code is Refusal.PIXELS_UNDECODABLE
    assert not isinstance(caught.value.__cause__, Exception), "the decoder in Rust no longer panics: this case shows nothing now"


def load_quietly(paths: list[Path]) -> Volume:
    """Load what may have odd values in it, of which pydicom warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_files(paths)
