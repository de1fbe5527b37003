"""An audit message in a few words, for a table."""

from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree

from cad_node.audit.record import Record

_OUTCOMES = {"0": "success", "4": "minor failure", "8": "serious failure", "12": "major failure"}


@dataclass(frozen=True, slots=True)
class Summary:
    """who: the participants, who asked first. what: the objects' identifiers, with how many instances of a study."""

    sequence: int
    time: datetime
    event: str
    event_type: str
    outcome: str
    who: str
    what: str
    description: str
    after_torn_line: bool


def summary(record: Record) -> Summary:
    """What the record's message says. Raises ValueError where that isn't an audit message."""
    try:
        root = ElementTree.fromstring(record.message)  # noqa: S314 - Expat has its own limits on entities
    except ElementTree.ParseError as exc:
        raise ValueError(f"number {record.sequence} of the audit log isn't XML") from exc
    event = root.find("EventIdentification")
    if event is None:
        raise ValueError(f"number {record.sequence} of the audit log isn't an audit message")
    return Summary(
        sequence=record.sequence,
        time=record.time,
        event=_meaning(event, "EventID"),
        event_type=_meaning(event, "EventTypeCode"),
        outcome=_OUTCOMES.get(event.get("EventOutcomeIndicator", ""), ""),
        who=" → ".join(_who(participant) for participant in root.iterfind("ActiveParticipant")),
        what=", ".join(_what(item) for item in root.iterfind("ParticipantObjectIdentification")),
        description=event.findtext("EventOutcomeDescription", ""),
        after_torn_line=bool(record.torn),
    )


def _meaning(parent: ElementTree.Element, name: str) -> str:
    code = parent.find(name)
    return "" if code is None else code.get("originalText", "")


def _who(participant: ElementTree.Element) -> str:
    """A process of ours by its name, an application entity by its title and host."""
    if name := participant.get("UserName"):
        return name
    host = participant.get("NetworkAccessPointID")
    return participant.get("UserID", "") + (f" at {host}" if host else "")


def _what(item: ElementTree.Element) -> str:
    instances = sum(int(sop_class.get("NumberOfInstances", 0)) for sop_class in item.iter("SOPClass"))
    return item.get("ParticipantObjectID", "") + (f" ({instances})" if instances else "")
