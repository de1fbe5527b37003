"""An audit message as XML, PS3.15 A.5.1."""

import base64
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from xml.etree.ElementTree import Element, SubElement, tostring

from cad_node.audit.codes import Code

# What XML 1.0 2.2 doesn't allow; an AE title comes off the wire and can hold it.
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Outcome(IntEnum):
    """Event Outcome Indicator."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8
    MAJOR_FAILURE = 12  # the application isn't there any more


class Action(StrEnum):
    """Event Action Code."""

    CREATE = "C"
    READ = "R"
    DELETE = "D"
    EXECUTE = "E"


@dataclass(frozen=True, slots=True)
class Source:
    """Who reports."""

    source_id: str
    enterprise_site_id: str = ""


@dataclass(frozen=True, slots=True)
class Participant:
    """A process or an application entity that took part; host: its name or address."""

    user_id: str
    ae_title: str = ""
    user_name: str = ""
    role: Code | None = None
    is_requestor: bool = False
    host: str = ""


@dataclass(frozen=True, slots=True)
class ParticipantObject:
    """What it was done to.

    type_code, role: ParticipantObjectTypeCode and ParticipantObjectTypeCodeRole.
    query: takes the place of the name.
    sop_classes: SOP Class UID, or "" where it isn't known -> number of instances.
    """

    object_id: str
    id_type: Code
    name: str = ""
    type_code: int = 2  # system object
    role: int = 3  # report
    query: bytes | None = None
    details: Mapping[str, bytes] = field(default_factory=dict)
    sop_classes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditMessage:
    event: Code
    action: Action
    at: datetime
    source: Source
    participants: Sequence[Participant]
    event_type: Code | None = None
    outcome: Outcome = Outcome.SUCCESS
    outcome_description: str = ""
    objects: Sequence[ParticipantObject] = ()

    def to_xml(self) -> str:
        """The document on one line, with its XML declaration."""
        root = Element("AuditMessage")
        self._add_event(root)
        for participant in self.participants:
            _add_participant(root, participant)
        source = SubElement(root, "AuditSourceIdentification", _attributes(AuditSourceID=self.source.source_id))
        if self.source.enterprise_site_id:
            source.set("AuditEnterpriseSiteID", _clean(self.source.enterprise_site_id))
        SubElement(source, "AuditSourceTypeCode", {"csd-code": "4"})  # application server process, PS3.15 A.5.1.2.1
        for participant_object in self.objects:
            _add_object(root, participant_object)
        return '<?xml version="1.0" encoding="UTF-8"?>' + tostring(root, encoding="unicode")

    def _add_event(self, root: Element) -> None:
        attributes = _attributes(
            EventActionCode=self.action, EventDateTime=self.at.isoformat(timespec="milliseconds"), EventOutcomeIndicator=int(self.outcome)
        )
        event = SubElement(root, "EventIdentification", attributes)
        _add_code(event, "EventID", self.event)
        if self.event_type:
            _add_code(event, "EventTypeCode", self.event_type)
        if self.outcome_description:
            SubElement(event, "EventOutcomeDescription").text = _clean(self.outcome_description)


def _add_participant(root: Element, participant: Participant) -> None:
    attributes = _attributes(UserID=participant.user_id, UserIsRequestor="true" if participant.is_requestor else "false")
    if participant.ae_title:
        attributes["AlternativeUserID"] = _clean(f"AETITLES={participant.ae_title}")  # PS3.15 A.5.2.2
    if participant.user_name:
        attributes["UserName"] = _clean(participant.user_name)
    if participant.host:
        attributes |= _attributes(NetworkAccessPointID=participant.host, NetworkAccessPointTypeCode=_access_point_type(participant.host))
    element = SubElement(root, "ActiveParticipant", attributes)
    if participant.role:
        _add_code(element, "RoleIDCode", participant.role)


def _add_object(root: Element, participant_object: ParticipantObject) -> None:
    attributes = _attributes(
        ParticipantObjectID=participant_object.object_id,
        ParticipantObjectTypeCode=participant_object.type_code,
        ParticipantObjectTypeCodeRole=participant_object.role,
    )
    element = SubElement(root, "ParticipantObjectIdentification", attributes)
    _add_code(element, "ParticipantObjectIDTypeCode", participant_object.id_type)
    if participant_object.query is None:  # the schema demands one of the two
        SubElement(element, "ParticipantObjectName").text = _clean(participant_object.name)
    else:
        SubElement(element, "ParticipantObjectQuery").text = _base64(participant_object.query)
    for kind, value in participant_object.details.items():
        SubElement(element, "ParticipantObjectDetail", {"type": kind, "value": _base64(value)})
    if participant_object.sop_classes:
        description = SubElement(element, "ParticipantObjectDescription")
        for uid, instances in participant_object.sop_classes.items():
            SubElement(description, "SOPClass", _attributes(**({"UID": uid} if uid else {}), NumberOfInstances=instances))


def _add_code(parent: Element, name: str, code: Code) -> None:
    SubElement(parent, name, {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning})


def _attributes(**values: object) -> dict[str, str]:
    return {name: _clean(str(value)) for name, value in values.items()}


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _access_point_type(host: str) -> int:
    """1: machine name, 2: IP address; PS3.15 A.5.2.4."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return 1
    return 2
