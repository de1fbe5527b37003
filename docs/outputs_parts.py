"""Tables of docs/outputs.md: from the profiles, and from what `make interop` found."""

import json
from collections.abc import Iterable
from pathlib import Path

from cad_node.objects import PRESETS, SUBSTITUTES

_VERDICTS = Path(__file__).resolve().parent / "interop.json"
_READS = "reads it"

Parts = tuple[Iterable[str], Iterable[Iterable[str]]]  # head and rows


def tools_by_object() -> Parts:
    """What each foreign tool that fits an object makes of it; a tool's own gap in its words."""
    verdicts = json.loads(_VERDICTS.read_text(encoding="utf-8"))
    return ("object", "read without an error by", "gaps of the tools"), [
        (
            f"`{name}`",
            ", ".join(tool for tool, verdict in said.items() if verdict == _READS),
            "; ".join(f"{tool} {verdict}" for tool, verdict in said.items() if verdict != _READS),
        )
        for name, said in verdicts.items()
    ]


def presets() -> Parts:
    return ("preset", "objects"), [(f"`{name}`", ", ".join(f"`{one}`" for one in objects)) for name, objects in PRESETS.items()]


def substitutes() -> Parts:
    return ("not taken", "goes instead"), [(f"`{name}`", f"`{instead}`") for name, instead in SUBSTITUTES.items()]
