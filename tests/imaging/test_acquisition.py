"""What the headers tell of a series' making is refused or remarked."""

import numpy as np
import pytest
from pydicom.uid import JPEGBaseline8Bit

from cad_node.errors import Refusal, UnusableSeries
from cad_node.findings import Caution
from cad_node.imaging.acquisition import has_sharp_kernel, judge_acquisition
from cad_node.imaging.volume import Volume
from cad_node.scope_limits import Scope
from tests.factory import ct_study


def series(spacing_mm: float = 1.25, **changes: object) -> Volume:
    """Four slices whose headers all have these values."""
    datasets = ct_study(slices=4, spacing_mm=spacing_mm)
    for ds in datasets:
        for keyword, value in changes.items():
            setattr(ds, keyword, value)
    return Volume(np.zeros((4, 64, 64), np.int16), np.diag([spacing_mm, 0.75, 0.75, 1.0])[[2, 1, 0, 3]], tuple(datasets))


def judged(volume: Volume) -> list[tuple[Caution, str]]:
    return [(remark.code, remark.sentence) for remark in judge_acquisition(volume, Scope())]


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Refusal.DERIVED_IMAGE, "LOCALIZER"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MAT_SPECIFIC"]}, Refusal.DERIVED_IMAGE, "MAT_SPECIFIC"),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "SUBTRACTION"]}, Refusal.DERIVED_IMAGE, "SUBTRACTION"),
        ({"BurnedInAnnotation": "YES"}, Refusal.DERIVED_IMAGE, "burned"),
        ({"RescaleType": "HU_MOD"}, Refusal.VALUES_NOT_HU, "HU_MOD"),
        ({"LossyImageCompression": "01", "LossyImageCompressionRatio": "14.2"}, Refusal.TOO_LOSSY, "14.2 to 1, limit 10 to 1"),
        ({"LossyImageCompression": "01", "LossyImageCompressionRatio": ["3", "12"]}, Refusal.TOO_LOSSY, "12.0 to 1"),
        ({"spacing_mm": 5.0, "SliceThickness": 1.25}, Refusal.SLICE_GAP, "leave 3.75 mm"),
    ],
)
def test_what_makes_a_series_unfit_is_refused(changes, code, said):
    with pytest.raises(UnusableSeries) as caught:
        judged(series(**changes))

    assert caught.value.code is code
    assert said in caught.value.sentence
    assert "send" in caught.value.sentence


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]}, Caution.DERIVED, "SECONDARY"),
        ({"LossyImageCompression": "01", "LossyImageCompressionRatio": "6"}, Caution.LOSSY, "6.0 to 1"),
        ({"LossyImageCompression": "01"}, Caution.LOSSY, "unknown ratio"),
        ({"LossyImageCompression": "01", "LossyImageCompressionRatio": ""}, Caution.LOSSY, "unknown ratio"),
        ({"spacing_mm": 2.5, "SliceThickness": 2.0}, Caution.SLICE_GAP, "0.5 mm"),
        ({"spacing_mm": 5.0, "SliceThickness": 5.0}, Caution.THICK_SLICES, "5 mm every 5 mm"),
        ({"ContrastBolusAgent": "Iohexol 300"}, Caution.CONTRAST_AGENT, "Iohexol"),
    ],
)
def test_what_a_reader_should_know_is_remarked(changes, code, said):
    ((found, sentence),) = judged(series(**changes))

    assert found is code
    assert said in sentence


@pytest.mark.parametrize(
    "changes",
    [{}, {"SliceThickness": None}, {"SliceThickness": 2.0}, {"RescaleType": "HU"}, {"RescaleType": "US"}, {"LossyImageCompression": "00"}],
)
def test_ordinary_slices_are_passed_in_silence(changes):
    assert judged(series(**changes)) == []


def test_a_transfer_syntax_that_is_always_lossy_is_remarked():
    volume = series()
    volume.sources[2].file_meta.TransferSyntaxUID = JPEGBaseline8Bit

    assert [code for code, _ in judged(volume)] == [Caution.LOSSY]


@pytest.mark.parametrize("name", ["LUNG", "BONEPLUS", "B70f", "Br64d", "B60s", "I70f", "FC86", ["Bl64d", "3"], "LUNG+"])
def test_vendors_names_of_sharp_kernels_are_known(name):
    assert has_sharp_kernel(series(ConvolutionKernel=name).sources[0])


@pytest.mark.parametrize("name", ["STANDARD", "SOFT", "B30f", "Br40d", "FC18", "C", "", None])
def test_other_kernels_are_not_called_sharp(name):
    assert not has_sharp_kernel(series(ConvolutionKernel=name).sources[0])
