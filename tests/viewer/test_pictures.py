"""What is drawn for every viewer: key images and the one-page report."""

import numpy as np
from PIL import Image

WHITE = 250
LIMIT = 100  # looks at the page until the PDF's own viewer has drawn it


def test_key_images_are_shown_as_they_were_drawn(open_object, archived):
    (ds,) = archived["nodules"].objects["sc", ""]
    viewer = open_object("nodules", "sc")

    for number, frame in enumerate(ds.pixel_array, 1):
        viewer.show_frame(number)
        picture = viewer.picture()
        side = min(picture.shape[:2])
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        drawn = np.asarray(Image.fromarray(frame).resize((side, side)), int)
        assert np.abs(picture[top : top + side, left : left + side] - drawn).mean() < 8, number
        assert drawn.std() > 20, number


def test_the_page_of_the_report_is_shown(open_object):
    viewer = open_object("nodules", "pdf")

    white = 0.0
    for _ in range(LIMIT):
        white = float((viewer.screen() > WHITE).all(axis=2).mean())
        if white > 0.2:
            break

    assert white > 0.2
