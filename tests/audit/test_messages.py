"""Messages of PS3.15 A.5 as they stand in the log."""

import base64
import re
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dictionary
from pydicom.uid import CTImageStorage, SegmentationStorage

from cad_node.audit import codes
from cad_node.audit.message import Action, AuditMessage, Outcome, Participant, Source
from cad_node.audit.reading import records_after
from cad_node.audit.trail import Remote, Trail
from tests.audit.conftest import NOON, Clock
from tests.audit.schema import is_valid

STUDY = "1.2.826.0.1.3680043.8.498.1"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MODALITY = Remote("CT<1>", "10.1.2.3")
PACS = Remote("PACS", "pacs.example.org")


def identifier(**keys: object) -> Dataset:
    ds = Dataset()
    for keyword, value in {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", **keys}.items():
        setattr(ds, keyword, value)
    return ds


EVENTS: dict[str, tuple[str, Callable[[Trail], None]]] = {
    "application_started": ("110100", Trail.application_started),
    "application_stopped": ("110100", Trail.application_stopped),
    "application_died": ("110100", lambda trail: trail.application_died("worker cpu", 12)),
    "association_opened": ("110113", lambda trail: trail.association_opened(MODALITY)),
    "association_refused": ("110113", lambda trail: trail.association_refused(MODALITY, "calling AE title")),
    "association_refused_nameless": ("110113", lambda trail: trail.association_refused(Remote("", "::1"), "TLS: no certificate")),
    "instance_refused": ("110113", lambda trail: trail.instance_refused(MODALITY, "SOP Instance UID isn't a UID")),
    "instances_received": ("110104", lambda trail: trail.instances_received(MODALITY, STUDY, {CTImageStorage: 300})),
    "instances_not_received": ("110104", lambda trail: trail.instances_received(MODALITY, STUDY, {CTImageStorage: 3}, "disk full")),
    "instances_sent": ("110104", lambda trail: trail.instances_sent(PACS, STUDY, {SegmentationStorage: 1})),
    "instances_accessed": ("110103", lambda trail: trail.instances_accessed(STUDY)),
    "instances_deleted": ("110103", lambda trail: trail.instances_deleted(STUDY, 2)),
    "study_deleted": ("110105", lambda trail: trail.study_deleted(STUDY, 300)),
    "query_received": ("110112", lambda trail: trail.query_received(MODALITY, FIND, identifier())),
    "query_sent": ("110112", lambda trail: trail.query_sent(PACS, FIND, identifier(PatientID="4711"))),
    "log_read": ("110101", lambda trail: trail.log_read("root", "file:///data/audit")),
}


def messages(folder: Path) -> list[Element]:
    return [ElementTree.fromstring(record.message) for _, record in records_after(folder)]


def told(folder: Path) -> Element:
    (message,) = messages(folder)
    return message


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_is_a_message_by_the_standards_schema(trail: Trail, folder: Path, event: str):
    code, tell = EVENTS[event]

    tell(trail)

    ((_, record),) = records_after(folder)
    assert is_valid(record.message)
    assert told(folder).find("EventIdentification/EventID").get("csd-code") == code


def test_the_schema_refuses_what_the_standard_does(trail: Trail, folder: Path):
    trail.instances_received(MODALITY, STUDY, {CTImageStorage: 300})
    ((_, record),) = records_after(folder)
    flaws = [
        (' UserIsRequestor="true"', ""),
        ('EventOutcomeIndicator="0"', 'EventOutcomeIndicator="1"'),
        ("<ParticipantObjectName>Study</ParticipantObjectName>", ""),
        ('csd-code="110104"', 'code="110104"'),
        ("2026-03-02T12", "2026-03-02 12"),
        ("<AuditSourceIdentification", "<AuditSource"),
    ]

    flawed = [record.message.replace(right, wrong) for right, wrong in flaws]

    assert all(document != record.message and not is_valid(document) for document in flawed)


@given(ae_title=st.text(max_size=20), reason=st.text(max_size=50))
def test_whatever_a_peer_calls_itself_the_message_stays_valid(ae_title: str, reason: str):
    peer = Participant(ae_title, ae_title, host=ae_title)
    message = AuditMessage(
        codes.SECURITY_ALERT, Action.EXECUTE, NOON, Source("CAD"), [peer], codes.NODE_AUTHENTICATION, outcome_description=reason
    )

    document = message.to_xml()

    assert is_valid(document)
    assert not set(document) & {"\n", "\r"} or "\n" in ae_title + reason or "\r" in ae_title + reason


def test_codes_and_their_meanings_are_those_of_the_dicom_dictionary():
    own = {code for code in vars(codes).values() if isinstance(code, codes.Code) and code.scheme == "DCM"}

    known = {
        (code.value, code.scheme_designator, code.meaning) for code in (getattr(dictionary.DCM, name) for name in dictionary.DCM.dir())
    }

    assert len(own) >= 15
    assert own <= known


def test_instances_received_name_sender_receiver_study_and_how_many_of_each_class(trail: Trail, folder: Path):
    trail.instances_received(MODALITY, STUDY, {CTImageStorage: 300, SegmentationStorage: 1})

    message = told(folder)
    sender, receiver = message.findall("ActiveParticipant")
    study = message.find("ParticipantObjectIdentification")
    assert message.find("EventIdentification").get("EventActionCode") == "C"
    assert (sender.get("UserID"), sender.get("AlternativeUserID"), sender.get("UserIsRequestor")) == ("CT<1>", "AETITLES=CT<1>", "true")
    assert (sender.get("NetworkAccessPointID"), sender.get("NetworkAccessPointTypeCode")) == ("10.1.2.3", "2")
    assert sender.find("RoleIDCode").get("csd-code") == "110153"
    assert (receiver.get("UserID"), receiver.get("AlternativeUserID")) == ("4711", "AETITLES=CAD_NODE")
    assert receiver.find("RoleIDCode").get("csd-code") == "110152"
    assert study.get("ParticipantObjectID") == STUDY
    assert {item.get("UID"): item.get("NumberOfInstances") for item in study.iter("SOPClass")} == {
        CTImageStorage: "300",
        SegmentationStorage: "1",
    }


def test_what_was_not_kept_is_a_failure_with_its_reason(trail: Trail, folder: Path):
    trail.instances_received(MODALITY, STUDY, {CTImageStorage: 3}, "disk full")

    event = told(folder).find("EventIdentification")
    assert event.get("EventOutcomeIndicator") == "4"
    assert event.findtext("EventOutcomeDescription") == "disk full"


def test_a_query_tells_its_keys_but_not_what_it_matches_a_patient_by(trail: Trail, folder: Path):
    asked = identifier(
        StudyInstanceUID=STUDY, PatientName="Doe^Jane", PatientID="4711-x", PatientBirthDate="19700101", AccessionNumber="A77"
    )

    trail.query_received(MODALITY, FIND, asked)

    queried = told(folder).find("ParticipantObjectIdentification")
    details = {detail.get("type"): base64.b64decode(detail.get("value")) for detail in queried.iter("ParticipantObjectDetail")}
    query = base64.b64decode(queried.findtext("ParticipantObjectQuery"))
    ds = dcmread(BytesIO(query), force=True)
    assert queried.get("ParticipantObjectID") == FIND
    assert details["TransferSyntax"] == b"1.2.840.10008.1.2.1"
    assert set(details["WithheldKeys"].split(b"\\")) == {b"PatientName", b"PatientID", b"PatientBirthDate", b"AccessionNumber"}
    assert (ds.QueryRetrieveLevel, ds.StudyInstanceUID, ds.PatientName, ds.PatientID) == ("STUDY", STUDY, "", "")
    assert not any(secret in query for secret in (b"Doe", b"4711-x", b"19700101", b"A77"))


def test_a_query_with_private_keys_and_values_that_are_none_is_told(trail: Trail, folder: Path):
    elements = [
        *((0x0008, 0x0020, b"DA", b"no date "), (0x0008, 0x0052, b"CS", b"STUDY "), (0x0009, 0x1001, b"LO", b"secret")),
        *((0x0010, 0x0030, b"DA", b"January "), (0x0020, 0x000D, b"UI", b"\xff\xfe 1.2"), (0x0028, 0x0010, b"US", b"1")),
    ]
    encoded = b"".join(struct.pack("<HH2sH", group, element, vr, len(value)) + value for group, element, vr, value in elements)

    trail.query_received(MODALITY, FIND, dcmread(BytesIO(encoded), force=True))

    query = base64.b64decode(told(folder).findtext("ParticipantObjectIdentification/ParticipantObjectQuery"))
    assert dcmread(BytesIO(query), force=True).QueryRetrieveLevel == "STUDY"
    assert not any(value in query for value in (b"secret", b"January"))


def test_a_peer_that_knocks_all_day_is_told_once_a_minute_with_how_often(trail: Trail, folder: Path, clock: Clock):
    for _ in range(600):
        trail.association_refused(Remote("X", "10.6.6.6"), "calling AE title")
        clock.advance(0.3)

    descriptions = [message.findtext("EventIdentification/EventOutcomeDescription") for message in messages(folder)]
    told_of = [1 + int(more[1]) if (more := re.search(r"and (\d+) more", said)) else 1 for said in descriptions]
    assert len(told_of) == 3
    assert sum(told_of) >= 400


def test_each_peer_that_is_refused_is_told(trail: Trail, folder: Path):
    for number in range(20):
        trail.association_refused(Remote("X", f"10.6.6.{number}"), "calling AE title")

    assert len(messages(folder)) == 20


def test_accepted_associations_are_left_out_where_the_site_says_so(trail: Trail, folder: Path):
    trail._tell_associations = False

    trail.association_opened(MODALITY)
    trail.association_refused(MODALITY, "address")

    assert told(folder).find("EventIdentification").get("EventOutcomeIndicator") == str(int(Outcome.MINOR_FAILURE))
