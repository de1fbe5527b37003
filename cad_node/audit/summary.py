"""An audit message in a few words, for a table."""

from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree

from cad_node.audit.record import Record
from cad_node.audit.trail import PROCESS_PREFIX

_OUTCOMES = {"0": "success", "4": "minor failure", "8": "serious failure", "12": "major failure"}


@dataclass(frozen=True, slots=True)
class Summary:
    """process: of this node. peer: who else took part. instances: SOP instances of the object, where they were counted."""

    sequence: int
    time: datetime
    event: str
    event_type: str
    outcome: str
    process: str
    peer: str
    peer_host: str
    object_id: str
    instances: int
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
        process=ours.get("UserName", "").removeprefix(PROCESS_PREFIX) if (ours := _participant(root, is_ours=True)) is not None else "",
        peer=theirs.get("UserID", "") if (theirs := _participant(root, is_ours=False)) is not None else "",
        peer_host=theirs.get("NetworkAccessPointID", "") if theirs is not None else "",
        object_id=item.get("ParticipantObjectID", "") if (item := root.find("ParticipantObjectIdentification")) is not None else "",
        instances=sum(int(sop_class.get("NumberOfInstances", 0)) for sop_class in root.iter("SOPClass")),
        description=event.findtext("EventOutcomeDescription", ""),
        after_torn_line=bool(record.torn),
    )


def _meaning(parent: ElementTree.Element, name: str) -> str:
    code = parent.find(name)
    return "" if code is None else code.get("originalText", "")


def _participant(root: ElementTree.Element, *, is_ours: bool) -> ElementTree.Element | None:
    """The first that is a process of this node, which is named so, or that isn't."""
    return next(
        (found for found in root.iterfind("ActiveParticipant") if found.get("UserName", "").startswith(PROCESS_PREFIX) == is_ours), None
    )
