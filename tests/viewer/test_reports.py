"""Reports as OHIF shows them: measurements on the image as they were reported, what measures nothing as text."""

import numpy as np
import pytest

_MEASURED = """() => {
  const shown = window.services?.displaySetService?.getActiveDisplaySets().find(one => one.Modality === 'SR' && one.isLoaded);
  return shown?.measurements.every(one => one.loaded) ? shown.measurements : null;
}"""
_DRAWN = "() => window.cornerstoneTools.annotation.state.getAllAnnotations().map(one => [one.metadata.toolName, one.data.renderableData])"


@pytest.fixture(scope="module")
def nodules(archived):
    return archived["nodules"].case


def test_measurements_are_listed_as_they_were_reported(open_object, nodules):
    viewer = open_object("nodules", "sr")
    viewer.wait_for(_MEASURED)

    measured = {one["TrackingIdentifier"]: [(label["label"], label["value"]) for label in one["labels"]] for one in viewer.ask(_MEASURED)}

    for finding in nodules.findings.findings:
        assert measured[finding.label][:3] == [
            ("Certainty of Finding", f"{100 * finding.score:.2f} %"),
            ("Long Axis", f"{finding.long_axis.length_mm:.2f} mm"),
            ("Short Axis", f"{finding.short_axis.length_mm:.2f} mm"),
        ]
    assert measured.keys() >= {organ.label for organ in nodules.findings.organs}


def test_axes_are_drawn_where_they_were_measured_with_their_lengths_beside_them(open_object, nodules):
    viewer = open_object("nodules", "sr")
    viewer.wait_for_text(f"L: : {nodules.findings.findings[0].long_axis.length_mm:.2f} mm")

    annotations = viewer.ask(_DRAWN)

    lines = [line for _, data in annotations for line in data.get("POLYLINE", ())]
    for finding in nodules.findings.findings:
        for axis in (finding.long_axis, finding.short_axis):
            assert min(np.abs(np.subtract(line, axis.ends_lps_mm)).max() for line in lines) < 0.1
    assert {tool for tool, _ in annotations} == {"DICOMSRDisplay"}  # as reported; a tool of its own would measure anew


@pytest.mark.parametrize(
    ("study", "builder", "sentence"),
    [
        ("no nodule", "sr", "Nodule: none detected by the algorithm. Not for diagnostic use without review."),
        ("no nodule", "refusal", "noise of 210 HU in soft tissue, limit 150"),
        ("no nodule", "tree", "Nodule: none detected by the algorithm."),
        ("nodules", "tree", "Nodule: 3 detected by the algorithm."),
    ],
)
def test_what_measures_nothing_opens_as_text(study, builder, sentence, open_object):
    viewer = open_object(study, builder)

    viewer.wait_for_text(sentence)


@pytest.mark.parametrize("builder", ["cad_sr", "gsps", "kos", "rejection", "stl"])
def test_what_it_cannot_show_is_marked_so_and_the_images_open_instead(builder, open_object, archived):
    viewer = open_object("nodules", builder)

    shown = viewer.shown_modalities()

    uid = archived["nodules"].objects[builder, ""][0].SeriesInstanceUID
    assert shown == ["CT"]
    assert viewer.ask(
        "uid => window.services.displaySetService.getActiveDisplaySets().find(one => one.SeriesInstanceUID === uid).unsupported", uid
    )
