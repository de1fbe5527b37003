"""Writes the parts of the documents that come from code; with --check fails if any is stale.

A part stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_origin

import measurement_parts
import outputs_parts
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydicom.uid import UID

from cad_node.checks.air import Rule
from cad_node.checks.air_findings import RULES
from cad_node.checks.air_general import RESULTS
from cad_node.checks.air_subject import Kind
from cad_node.deliver.statuses import outcome_of
from cad_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from cad_node.lifecycle import COMMITMENT_MOVES, DELIVERY_MOVES, JOB_MOVES, STEP_MOVES, STUDY_MOVES
from cad_node.receive import commitment
from cad_node.receive.mpps import StepFailure
from cad_node.receive.presentation import STORAGE_CLASSES, TRANSFER_SYNTAXES
from cad_node.receive.result_headers import LEVELS, UNIQUE_KEYS, keys_down_to
from cad_node.receive.statuses import STORE_STATUSES, SUCCESS
from cad_node.settings import Settings

ROOT = Path(__file__).resolve().parent.parent


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [list(head), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)


def diagram(moves: Mapping[tuple[StrEnum, str], StrEnum]) -> str:
    arrows = "\n".join(f"    {_node(source)} --> {_node(target)}: {event}" for (source, event), target in moves.items())
    return f"```mermaid\nstateDiagram-v2\n{arrows}\n```"


def _node(state: StrEnum) -> str:
    """Its name in a diagram, where a space would end it."""
    return state.value.replace(" ", "_")


def settings_tables() -> str:
    sections = [part for name, field in Settings.model_fields.items() for part in _section_parts((name,), field)]
    return "\n\n".join(dict.fromkeys(sections))  # a section that several transports have is told once


def _section_parts(path: tuple[str, ...], held_by: FieldInfo) -> Iterable[str]:
    """Title, what is said of it, and table of the section at `path`, then those of the sections in it; of each where there is a choice."""
    if get_origin(held_by.annotation) is dict:
        path = (*path, "NAME")
    models = _sections_in(held_by.annotation)
    for model in models:
        fields = sorted(model.model_fields.items(), key=lambda named: not named[1].is_required())
        chosen = f', transport = "{get_args(model.model_fields["transport"].annotation)[0]}"' if len(models) > 1 else ""
        variable = "CAD_NODE_" + "__".join(path).upper()
        rows = [
            (f"`{key}`", f"`{variable}__{key.upper()}`", _default(path[0], key, field), field.description or "")
            for key, field in fields
            if not _sections_in(field.annotation)
        ]
        title = f"## [{'.'.join(path)}]{chosen}"
        yield "\n\n".join(filter(None, (title, held_by.description, table(("key", "variable", "default", "meaning"), rows))))
        for key, field in fields:
            if _sections_in(field.annotation):
                yield from _section_parts((*path, key), field)


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a key holds, or may hold, or holds by name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections_in(part)]


def _default(section: str, key: str, field: Any) -> str:
    if (section, key) == ("models", "dir"):
        return "the models that ship with the node"  # a path of this machine otherwise
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return f"`{list(value) if isinstance(value, tuple) else value}`" if value not in ("", (), None) else "empty"


def sop_class_table() -> str:
    return table(("SOP Class", "UID"), sorted((UID(uid).name, f"`{uid}`") for uid in STORAGE_CLASSES))


def transfer_syntax_table() -> str:
    return table(("Transfer Syntax", "UID"), [(UID(uid).name, f"`{uid}`") for uid in TRANSFER_SYNTAXES])


_STATUS_HEAD = ("Status", "Error Comment (0000,0902)")


def status_table() -> str:
    stored = SUCCESS._replace(comment="Stored, durably")
    return table(_STATUS_HEAD, [(f"0x{code:04X}", comment) for code, comment in (stored, *STORE_STATUSES.values())])


def step_status_table() -> str:
    rows = [(0x0000, "Noted, durably", None), *(failure.value for failure in StepFailure)]
    return table(
        (*_STATUS_HEAD, "Error ID (0000,0903)"),
        [(f"0x{code:04X}", comment, f"0x{error_id:04X}" if error_id else "") for code, comment, error_id in rows],
    )


def commitment_status_table() -> str:
    refusals = [value for value in vars(commitment).values() if isinstance(value, commitment.Refusal)]
    rows = [(commitment.SUCCESS, "Noted, durably"), *sorted(refusals)]
    return table(_STATUS_HEAD, [(f"0x{code:04X}", comment) for code, comment in rows])


def query_key_table() -> str:
    known: frozenset[str] = frozenset()
    rows = []
    for level in LEVELS:
        keys = keys_down_to(level)
        rows.append((level, UNIQUE_KEYS[level], ", ".join(sorted(keys - known - {UNIQUE_KEYS[level]}))))
        known = keys
    return table(("Level", "Unique key", "Other keys"), rows)


# A status of each kind, as it is shown: 0xA7xx stands for every status from 0xA700 to 0xA7FF.
SCU_STATUSES = {
    **{
        f"0x{code:04X}": code
        for code in (0x0000, 0x0001, 0x0107, 0x0110, 0x0111, 0x0116, 0x0117, 0x0122, 0x0124, 0x0210, 0x0211, 0x0212, 0x0213)
    },
    **{f"0x{code >> 8:02X}xx": code for code in (0xA700, 0xA900)},
    **{f"0x{code:04X}": code for code in (0xB000, 0xB006, 0xB007)},
    "other 0xBxxx": 0xB123,
    "0xCxxx": 0xC123,
    "any other": 0x9999,
}


def delivery_status_table() -> str:
    outcomes = {shown: outcome_of(code) for shown, code in SCU_STATUSES.items()}
    rows = [
        (shown, outcome.reason.partition(" ")[2], "delivered" if outcome.delivered else "tried again" if outcome.retryable else "failed")
        for shown, outcome in outcomes.items()
    ]
    return table(("Status", "Meaning", "The delivery is"), rows)


def air_rule_table() -> str:
    return table(
        ("rule", "section", "what it demands", "of"), [(f"`{rule.name}`", rule.section, rule.demands, _kinds(rule)) for rule in RULES]
    )


def _kinds(rule: Rule) -> str:
    if rule.kinds == frozenset(Kind):
        return "everything"
    return "every result" if rule.kinds == RESULTS else ", ".join(sorted(rule.kinds))


def implementation_table() -> str:
    return table(
        ("", "value"),
        [
            ("Implementation Class UID", f"`{IMPLEMENTATION_CLASS_UID}`"),
            ("Implementation Version Name", f"`{IMPLEMENTATION_VERSION_NAME}`"),
        ],
    )


PARTS: Mapping[str, Callable[[], str]] = {
    "settings": settings_tables,
    "study states": lambda: diagram(STUDY_MOVES),
    "job states": lambda: diagram(JOB_MOVES),
    "delivery states": lambda: diagram(DELIVERY_MOVES),
    "commitment states": lambda: diagram(COMMITMENT_MOVES),
    "step states": lambda: diagram(STEP_MOVES),
    "storage SOP classes": sop_class_table,
    "transfer syntaxes": transfer_syntax_table,
    "C-STORE statuses": status_table,
    "performed procedure step statuses": step_status_table,
    "storage commitment statuses": commitment_status_table,
    "query keys": query_key_table,
    "delivery statuses": delivery_status_table,
    "implementation": implementation_table,
    "AIR rules": air_rule_table,
    "private codes of quantities": lambda: table(*measurement_parts.private_codes()),
    "nodule quantities": lambda: table(*measurement_parts.nodule_quantities()),
    "lung quantities": lambda: table(*measurement_parts.lung_quantities()),
    "worst measurement errors": lambda: table(*measurement_parts.worst_errors()),
    "tools by object": lambda: table(*outputs_parts.tools_by_object()),
    "presets": lambda: table(*outputs_parts.presets()),
    "substitutes": lambda: table(*outputs_parts.substitutes()),
    "volume errors": lambda: table(*measurement_parts.volume_errors()),
    "diameter errors": lambda: table(*measurement_parts.diameter_errors()),
}
DOCUMENTS = ("ARCHITECTURE.md", "docs/checks.md", "docs/configuration.md", "docs/conformance.md", "docs/measurement.md", "docs/outputs.md")


def renewed(text: str) -> str:
    """The document with each generated part made anew. Raises KeyError for a part nobody makes."""
    pattern = re.compile(r"(<!-- generated: (?P<name>[^>]+?) -->\n).*?(<!-- end of (?P=name) -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}\n{PARTS[found['name']]()}\n\n{found[3]}", text)


def main() -> int:
    stale = []
    for name in DOCUMENTS:
        file = ROOT / name
        text = file.read_text(encoding="utf-8")
        if (new := renewed(text)) != text:
            stale.append(name)
            if "--check" not in sys.argv:
                file.write_text(new, encoding="utf-8")
    if stale:
        print(("stale, run `make docs`: " if "--check" in sys.argv else "written: ") + ", ".join(stale))
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
