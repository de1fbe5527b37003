"""Display colours of findings and organs: the same finding has the same colour in every object."""

RGB = tuple[int, int, int]  # sRGB, 0..255

# Told apart on grey-scale images and by most colour-blind readers: Okabe and Ito's set without black, then lighter tones.
_FINDINGS: tuple[RGB, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
    (255, 182, 119),
    (166, 216, 84),
    (190, 186, 218),
)
_ORGANS: tuple[RGB, ...] = ((140, 165, 190), (165, 190, 140), (190, 150, 140))


def finding_colour(number: int) -> RGB:
    """Colour of finding `number`, from 1; they repeat after ten."""
    return _FINDINGS[(number - 1) % len(_FINDINGS)]


def organ_colour(number: int) -> RGB:
    """Colour of organ `number`, from 1; pale, so that findings stand out."""
    return _ORGANS[(number - 1) % len(_ORGANS)]
