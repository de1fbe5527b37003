"""What happens in a process, told to the audit log: a method for each kind of event, PS3.15 A.5.3.

No method raises: a log that can't be written is an error in the ordinary log, and patients' studies go on. Patients are not named;
docs/adr says why.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset

from cad_node.audit import codes
from cad_node.audit.audit_log import AuditLog
from cad_node.audit.codes import Code
from cad_node.audit.message import Action, AuditMessage, Outcome, Participant, ParticipantObject, Source
from cad_node.audit.query_keys import TRANSFER_SYNTAX_UID, encoded_identifier
from cad_node.audit.repeats import Repeats
from cad_node.log import get_logger

log = get_logger()

PROCESS_PREFIX = "cad-node "  # of the names of this node's processes
UNNAMED = ""  # stands for a SOP class where it isn't known which

_SECURITY_RESOURCE = 13  # ParticipantObjectTypeCodeRole, PS3.15 A.5.1.2.2


@dataclass(frozen=True, slots=True)
class Remote:
    """The application entity at the other end; host: its name or address, empty where it isn't known."""

    ae_title: str
    host: str = ""


@dataclass(frozen=True, slots=True)
class LocalProcess:
    """This process; name: scp, sender, …"""

    name: str
    pid: int
    ae_title: str
    host: str


class Trail:
    """The events of one process; any of its threads may tell them.

    tell_associations: also those that were accepted.
    """

    def __init__(
        self, audit_log: AuditLog, source: Source, process: LocalProcess, clock: Callable[[], datetime], *, tell_associations: bool = True
    ) -> None:
        self._log = audit_log
        self._source = source
        self._process = process
        self._clock = clock
        self._tell_associations = tell_associations
        self._repeats = Repeats()
        self._repeats_lock = threading.Lock()

    def application_started(self) -> None:
        self._application(self._process, codes.APPLICATION_START)

    def application_stopped(self) -> None:
        self._application(self._process, codes.APPLICATION_STOP)

    def application_died(self, name: str, pid: int) -> None:
        """Another process of this node ended without having been told to."""
        died = LocalProcess(name, pid, self._process.ae_title, self._process.host)
        self._application(died, codes.APPLICATION_STOP, Outcome.MAJOR_FAILURE, "the process ended without having been told to")

    def association_opened(self, remote: Remote) -> None:
        """An association was accepted."""
        if self._tell_associations:
            self._alert(codes.NODE_AUTHENTICATION, "association accepted", remote, Outcome.SUCCESS)

    def association_refused(self, remote: Remote, reason: str) -> None:
        """A peer wasn't let in: its address, AE title or certificate, a failed TLS handshake."""
        self._alert_once_a_while(codes.NODE_AUTHENTICATION, f"association refused: {reason}", remote)

    def instance_refused(self, remote: Remote, reason: str) -> None:
        """A peer that was let in tried what it may not: a request beyond its rights, an instance whose UIDs would name another file."""
        self._alert_once_a_while(codes.USE_OF_RESTRICTED_FUNCTION, f"refused: {reason}", remote)

    def instances_received(self, remote: Remote, study_instance_uid: str, sop_classes: Mapping[str, int], failure: str = "") -> None:
        """Instances of one study came over one association. sop_classes: SOP Class UID -> how many; failure: why they weren't kept."""
        sender, receiver = self._remote(remote, codes.SOURCE_ROLE, asks=True), self._local(codes.DESTINATION_ROLE)
        self._transferred(Action.CREATE, [sender, receiver], study_instance_uid, sop_classes, failure)

    def instances_sent(self, remote: Remote, study_instance_uid: str, sop_classes: Mapping[str, int], failure: str = "") -> None:
        """Instances of one study went to a peer, or with a `failure` didn't."""
        sender, receiver = self._local(codes.SOURCE_ROLE, asks=True), self._remote(remote, codes.DESTINATION_ROLE)
        self._transferred(Action.READ, [sender, receiver], study_instance_uid, sop_classes, failure)

    def instances_accessed(self, study_instance_uid: str) -> None:
        """Instances of a study were read, for a model to run on them, PS3.15 A.5.3.6."""
        study = _study(study_instance_uid, {})
        self._tell(codes.INSTANCES_ACCESSED, Action.READ, [self._local(asks=True)], objects=[study])

    def study_deleted(self, study_instance_uid: str, instances: int) -> None:
        """The node removed what it had received of a study, PS3.15 A.5.3.8."""
        study = _study(study_instance_uid, {UNNAMED: instances})
        self._tell(codes.STUDY_DELETED, Action.DELETE, [self._local(asks=True)], objects=[study])

    def instances_deleted(self, study_instance_uid: str, instances: int) -> None:
        """The node removed other instances of a study, such as its own results, PS3.15 A.5.3.6."""
        study = _study(study_instance_uid, {UNNAMED: instances})
        self._tell(codes.INSTANCES_ACCESSED, Action.DELETE, [self._local(asks=True)], objects=[study])

    def query_received(self, remote: Remote, sop_class_uid: str, identifier: Dataset) -> None:
        """A peer asked this node: C-FIND, or C-GET and C-MOVE before what they transfer."""
        asker, asked = self._remote(remote, codes.SOURCE_ROLE, asks=True), self._local(codes.DESTINATION_ROLE)
        self._queried([asker, asked], sop_class_uid, identifier)

    def query_sent(self, remote: Remote, sop_class_uid: str, identifier: Dataset) -> None:
        """This node asked a peer."""
        asker, asked = self._local(codes.SOURCE_ROLE, asks=True), self._remote(remote, codes.DESTINATION_ROLE)
        self._queried([asker, asked], sop_class_uid, identifier)

    def log_read(self, user: str, uri: str) -> None:
        """A person looked at the audit log itself, PS3.15 A.5.3.2."""
        person = Participant(user, user_name=user, is_requestor=True, host=self._process.host)
        read = ParticipantObject(uri, codes.URI, "Security Audit Log", role=_SECURITY_RESOURCE)
        self._tell(codes.AUDIT_LOG_USED, Action.READ, [person], objects=[read])

    def _application(self, process: LocalProcess, event_type: Code, outcome: Outcome = Outcome.SUCCESS, description: str = "") -> None:
        """PS3.15 A.5.3.1."""
        application = _participant(process, codes.APPLICATION)
        event = codes.APPLICATION_ACTIVITY
        self._tell(event, Action.EXECUTE, [application], event_type=event_type, outcome=outcome, description=description)

    def _transferred(
        self, action: Action, participants: list[Participant], study_instance_uid: str, sop_classes: Mapping[str, int], failure: str
    ) -> None:
        """PS3.15 A.5.3.7: one patient a message, and what failed in a message of its own."""
        outcome = Outcome.MINOR_FAILURE if failure else Outcome.SUCCESS
        study = _study(study_instance_uid, sop_classes)
        self._tell(codes.INSTANCES_TRANSFERRED, action, participants, outcome=outcome, description=failure, objects=[study])

    def _queried(self, participants: list[Participant], sop_class_uid: str, identifier: Dataset) -> None:
        """PS3.15 A.5.3.10."""
        query, withheld = encoded_identifier(identifier)
        details = {"TransferSyntax": TRANSFER_SYNTAX_UID.encode()}
        if withheld:
            details["WithheldKeys"] = "\\".join(withheld).encode()
        asked = ParticipantObject(sop_class_uid, codes.SOP_CLASS_UID, query=query, details=details)
        self._tell(codes.QUERY, Action.EXECUTE, participants, objects=[asked])

    def _alert_once_a_while(self, event_type: Code, description: str, remote: Remote) -> None:
        with self._repeats_lock:
            more = self._repeats.note((event_type, remote.host), self._clock())
        if more is not None:
            said = f"{description} (and {more} more like it from there since the last that was told)" if more else description
            self._alert(event_type, said, remote, Outcome.MINOR_FAILURE)

    def _alert(self, event_type: Code, description: str, remote: Remote, outcome: Outcome) -> None:
        """PS3.15 A.5.3.11; a minor failure: the node has guarded itself."""
        participants = [self._local(asks=True), self._remote(remote)]
        details = {"Alert Description": description.encode(errors="replace")}
        peer = remote.host or remote.ae_title
        node = ParticipantObject(peer, codes.NODE_ID, remote.ae_title, role=_SECURITY_RESOURCE, details=details)
        self._tell(
            codes.SECURITY_ALERT,
            Action.EXECUTE,
            participants,
            event_type=event_type,
            outcome=outcome,
            description=description,
            objects=[node],
            durable=outcome != Outcome.SUCCESS,
        )

    def _local(self, role: Code | None = None, *, asks: bool = False) -> Participant:
        return _participant(self._process, role, asks=asks)

    def _remote(self, remote: Remote, role: Code | None = None, *, asks: bool = False) -> Participant:
        return Participant(remote.ae_title, remote.ae_title, role=role, is_requestor=asks, host=remote.host)

    def _tell(
        self,
        event: Code,
        action: Action,
        participants: list[Participant],
        *,
        event_type: Code | None = None,
        outcome: Outcome = Outcome.SUCCESS,
        description: str = "",
        objects: Sequence[ParticipantObject] = (),
        durable: bool = True,
    ) -> None:
        now = self._clock()
        message = AuditMessage(event, action, now, self._source, participants, event_type, outcome, description, objects)
        try:
            record = self._log.append(message.to_xml(), now, durable=durable)
        except OSError as exc:
            log.error("audit.not_written", audited=event.meaning, reason=exc.strerror)
            return
        if record.torn:
            log.warning("audit.line_torn", sequence=record.sequence, torn_sha256=record.torn)


def _participant(process: LocalProcess, role: Code | None = None, *, asks: bool = False) -> Participant:
    """A process of this node: its pid, as PS3.15 A.5.2.1 wants it."""
    return Participant(str(process.pid), process.ae_title, PROCESS_PREFIX + process.name, role, asks, process.host)


def _study(study_instance_uid: str, sop_classes: Mapping[str, int]) -> ParticipantObject:
    return ParticipantObject(study_instance_uid, codes.STUDY_INSTANCE_UID, "Study", sop_classes=sop_classes)
