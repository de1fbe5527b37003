import numpy as np
import pytest
from PIL import Image

from cad_node.training.evaluation.froc import Marks, froc
from cad_node.training.evaluation.pictures import (
    MAX_BYTES,
    contact_sheet,
    froc_plot,
    pr_plot,
    reliability_plot,
    robustness_plot,
    roc_plot,
)
from cad_node.training.evaluation.robustness import Kind, Level, Robustness


@pytest.fixture
def judged():
    random = np.random.default_rng(0)
    labels = (random.random(300) < 0.3).astype(float)
    return {"test": (labels, np.clip(0.5 * labels + random.uniform(0, 0.6, 300), 0, 1))}


def assert_small_and_drawn(file):
    with Image.open(file) as image:
        colours = len(image.getcolors(256))
    assert file.stat().st_size <= MAX_BYTES
    assert colours > 5


@pytest.mark.parametrize("plot", [roc_plot, pr_plot, reliability_plot])
def test_a_plot_of_scores_is_a_small_png(plot, judged, tmp_path):
    picture = plot(judged, tmp_path / "plot.png", "How good it is")

    assert (picture.title, picture.file) == ("How good it is", "plot.png")
    assert_small_and_drawn(tmp_path / "plot.png")


def test_a_froc_plot_is_a_small_png(tmp_path):
    nodules = Marks(np.array(["a", "b"]), np.zeros((2, 3)), np.full(2, 10.0))
    detections = Marks(np.array(["a", "b", "b"]), np.array([[0.0, 0, 0], [0, 0, 0], [50, 0, 0]]), np.array([0.9, 0.5, 0.7]))

    froc_plot({"model": froc(["a", "b"], nodules, detections)}, tmp_path / "froc.png", "Detection")

    assert_small_and_drawn(tmp_path / "froc.png")


def test_a_robustness_plot_is_a_small_png(tmp_path):
    points = tuple(Level(level, value, (value - 0.05, value + 0.05)) for level, value in ((0, 0.95), (50, 0.9), (100, 0.7)))

    robustness_plot(Robustness(Kind.NOISE, "sensitivity", 0.8, points), tmp_path / "noise.png", "Noise")

    assert_small_and_drawn(tmp_path / "noise.png")


def test_a_contact_sheet_of_noisy_images_stays_small_and_says_that_it_shows_data(tmp_path):
    images = list(np.random.default_rng(0).normal(-700, 100, (24, 64, 64)))
    masks = [np.hypot(*(np.mgrid[:64, :64] - 32)) < 10 for _ in images]

    picture = contact_sheet(images, ["Dice 0.5"] * 24, tmp_path / "sheet.png", "Worst", window=(-1000, 400), outlines={"readers": masks})

    assert picture.shows_data
    assert_small_and_drawn(tmp_path / "sheet.png")


def test_a_contact_sheet_draws_outlines_in_colour(tmp_path):
    image, mask = np.zeros((64, 64)), np.zeros((64, 64), np.bool_)
    mask[20:40, 20:40] = True

    contact_sheet([image], ["one"], tmp_path / "plain.png", "One")
    contact_sheet([image], ["one"], tmp_path / "outlined.png", "One", outlines={"model": [mask]})

    assert not has_colour(tmp_path / "plain.png")
    assert has_colour(tmp_path / "outlined.png")


def has_colour(file) -> bool:
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=int)
    return bool((np.ptp(pixels, axis=2) > 60).any())
