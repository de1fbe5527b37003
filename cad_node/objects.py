"""The DICOM objects that a run can give, by the names under which settings ask for them, and what goes where one isn't taken; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

ObjectName = Literal["seg", "labelmap", "sr", "tree", "cad_sr", "gsps", "sc", "pmap", "kos", "rejection", "rtstruct", "pdf", "stl"]
RefusalName = Literal["refusal"]  # made instead of them, where a model can't take a study

DEFAULT_OBJECTS: tuple[ObjectName, ...] = ("seg", "sr", "rejection")

# ohif leaves the Parametric Map out, which OHIF shows too: the Secondary Capture has the heat in a hundredth of its size.
PRESETS: Mapping[str, tuple[ObjectName, ...]] = {
    "ohif": ("seg", "sr", "sc", "pdf", "rejection"),
    "legacy": ("cad_sr", "gsps", "sc", "kos", "rejection"),
    "planning": ("seg", "rtstruct", "stl", "pdf", "rejection"),
}

# What shows about the same where a destination doesn't take an object's SOP class. What isn't named here has no substitute.
SUBSTITUTES: Mapping[str, ObjectName] = {
    "labelmap": "seg",
    "seg": "gsps",
    "rtstruct": "gsps",
    "gsps": "sc",
    "sr": "cad_sr",
    "cad_sr": "sc",
    "pmap": "sc",
    "pdf": "sc",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """What the viewers behind a destination can show.

    keeps_empty_frames: of a Segmentation, also those that no voxel of the segment lies in.
    destination: its name, for what concerns it alone.
    """

    objects: tuple[str, ...] = DEFAULT_OBJECTS
    keeps_empty_frames: bool = False
    destination: str = ""

    def edition(self, name: str) -> str:
        """Which edition of an object it gets: one that refers to others refers to those that the destination gets too."""
        if name == "rejection":
            return self.destination
        frames = "all-frames" if self.keeps_empty_frames else ""
        return "+".join(filter(None, (*sorted(self.objects), frames))) if name == "tree" else frames

    def wants(self, name: str, edition: str) -> bool:
        return name in self.objects and edition == self.edition(name)

    def substitutes(self, name: str) -> tuple[str, ...]:
        """What shows about the same as an object whose SOP class isn't taken, the best first; it may be among its objects anyway."""
        chain: list[str] = []
        while instead := SUBSTITUTES.get(name):
            chain.append(instead)
            name = instead
        return tuple(chain)

    def to_build(self) -> tuple[str, ...]:
        """The objects it gets, and those that may have to go instead."""
        wanted = list(self.objects)
        for name in wanted:  # grows on the way
            instead = SUBSTITUTES.get(name)
            if instead and instead not in wanted:
                wanted.append(instead)
        return tuple(wanted)


def expanded(names: Iterable[str]) -> tuple[str, ...]:
    """Names of objects and presets -> of objects, each once, in order."""
    return tuple(dict.fromkeys(one for name in names for one in PRESETS.get(name, (name,))))
