"""The listener's own associations beside pynetdicom's, which they must equal: the same bytes in, the same answers out, the same files."""

import socket
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pynetdicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import build_context

from cad_node.deliver.messages import COMMAND, LAST, Context, associate_request, c_echo_request, c_store_request, command_elements
from tests.factory import ct_study
from tests.receive.front_door import ECHO, FrontDoor, after_meta, encoded, opened_front_door, wait_until

CT = Context(CTImageStorage, ExplicitVRLittleEndian)
CT_CONTEXT, ECHO_CONTEXT, UNKNOWN_CONTEXT = 1, 3, 99
REQUEST = associate_request("CAD_NODE", "MODALITY", {CT_CONTEXT: CT, ECHO_CONTEXT: Context(ECHO, ImplicitVRLittleEndian)})
ACCEPTED, DATA, RELEASE_REQUEST, RELEASE_RESPONSE, ABORT = 2, 4, 5, 6, 7  # PDU types, PS3.8 9.3.1
RELEASE = struct.pack(">BxL4x", RELEASE_REQUEST, 4)


class Value(NamedTuple):
    context_id: int
    control: int
    content: bytes


class Outcome(NamedTuple):
    answers: tuple[tuple[int, object], ...]  # PDU type, and the status of a C-STORE response or the whole PDU
    stored: tuple[bytes, ...]  # data sets


def pdu(*values: Value) -> bytes:
    """A P-DATA-TF PDU of presentation data values, PS3.8 9.3.5."""
    body = b"".join(struct.pack(">LBB", len(content) + 2, context_id, control) + content for context_id, control, content in values)
    return struct.pack(">BxL", DATA, len(body)) + body


@pytest.fixture(scope="module")
def listeners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FrontDoor, FrontDoor]]:
    """Ours, and pynetdicom's."""
    folder = tmp_path_factory.mktemp("listeners")
    with opened_front_door(folder / "fast") as fast, opened_front_door(folder / "plain", fast=False) as plain:
        yield fast, plain


class Image(NamedTuple):
    study: str
    uid: str
    dataset: bytes

    @property
    def command(self) -> Value:
        return Value(CT_CONTEXT, COMMAND | LAST, c_store_request(CTImageStorage, self.uid, 7))

    @property
    def halves(self) -> tuple[bytes, bytes]:
        half = len(self.dataset) // 2 & ~1
        return self.dataset[:half], self.dataset[half:]

    def stored(self) -> bytes:
        return pdu(self.command) + pdu(Value(CT_CONTEXT, LAST, self.dataset))


def image() -> Image:
    """A CT image of 8 KB."""
    ds = ct_study(slices=1)[0]
    ds.Rows = ds.Columns = 64
    ds.PixelData = bytes(range(256)) * 32
    return Image(ds.StudyInstanceUID, ds.SOPInstanceUID, encoded(ds))


def split_command(one: Image) -> bytes:
    command = one.command.content
    return pdu(Value(CT_CONTEXT, COMMAND, command[:40])) + pdu(Value(CT_CONTEXT, COMMAND | LAST, command[40:]))


def small_fragments(one: Image) -> bytes:
    fragments = [one.dataset[start : start + 100] for start in range(0, len(one.dataset), 100)]
    return b"".join(pdu(Value(CT_CONTEXT, 0, fragment)) for fragment in fragments) + pdu(Value(CT_CONTEXT, LAST, b""))


ECHO_REQUEST = pdu(Value(ECHO_CONTEXT, COMMAND | LAST, c_echo_request(ECHO, 8)))
ABORTED = struct.pack(">BxL2xBB", ABORT, 4, 0, 0)

# What is said, turn by turn: each turn is answered before the next. All of them begin with the association request.
CONVERSATIONS: dict[str, Callable[[Image], list[bytes]]] = {
    "one PDU for the command, one for the data set": lambda one: [one.stored(), RELEASE],
    "command and data set in one PDU": lambda one: [pdu(one.command, Value(CT_CONTEXT, LAST, one.dataset)), RELEASE],
    "a data set in two fragments, the first with the command": lambda one: [
        pdu(one.command, Value(CT_CONTEXT, 0, one.halves[0])) + pdu(Value(CT_CONTEXT, LAST, one.halves[1])),
        RELEASE,
    ],
    "a data set in two fragments of one PDU": lambda one: [
        pdu(one.command) + pdu(Value(CT_CONTEXT, 0, one.halves[0]), Value(CT_CONTEXT, LAST, one.halves[1])),
        RELEASE,
    ],
    "a data set in many small fragments": lambda one: [pdu(one.command) + small_fragments(one), RELEASE],
    "a command in two PDUs": lambda one: [split_command(one) + pdu(Value(CT_CONTEXT, LAST, one.dataset)), RELEASE],
    "an instance twice, and an echo between": lambda one: [one.stored(), ECHO_REQUEST, one.stored(), RELEASE],
    "another instance than the command announces": lambda one: [one._replace(uid="1.2.3").stored(), RELEASE],
    "a data set that isn't one, and one that is": lambda one: [one._replace(dataset=b"not a data set  ").stored(), one.stored(), RELEASE],
    "a data set that ends too early": lambda one: [one._replace(dataset=one.dataset[:-100]).stored(), RELEASE],
    "an abort in the middle of a data set": lambda one: [pdu(one.command) + pdu(Value(CT_CONTEXT, 0, one.halves[0])) + ABORTED],
    "a context that wasn't accepted": lambda _: [pdu(Value(UNKNOWN_CONTEXT, COMMAND | LAST, c_echo_request(ECHO, 8)))],
    "a PDU of no known type": lambda _: [struct.pack(">BxL4x", 0x0A, 4)],
    "an echo alone": lambda _: [ECHO_REQUEST, RELEASE],
    "nothing but a release": lambda _: [RELEASE],
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_same_bytes_get_the_same_answers_and_leave_the_same_files(listeners: tuple[FrontDoor, FrontDoor], name: str) -> None:
    one = image()

    fast, plain = (conversed(listener, [REQUEST, *CONVERSATIONS[name](one)], one) for listener in listeners)

    assert fast == plain


def test_instances_are_stored_byte_for_byte_in_either(listeners: tuple[FrontDoor, FrontDoor]) -> None:
    one = image()

    outcomes = [conversed(listener, [REQUEST, one.stored(), RELEASE], one) for listener in listeners]

    assert [outcome.stored for outcome in outcomes] == [(one.dataset,), (one.dataset,)]


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_where_the_stream_is_cut_into_segments_makes_no_difference(listeners: tuple[FrontDoor, FrontDoor], piece: int) -> None:
    one = image()
    turns = [REQUEST, *CONVERSATIONS["a data set in two fragments of one PDU"](one)]

    cut = conversed(listeners[0], turns, one, piece)

    assert cut == conversed(listeners[1], turns, one)
    assert cut.stored == (one.dataset,)


NEGOTIATIONS: dict[str, Callable[[], list[object]]] = {
    "nothing more": list,
    "user identity": lambda: [user_identity()],
    "a window for asynchronous operations": lambda: [window()],
    "a role as SCP": lambda: [role()],
    "extended negotiation of storage": lambda: [extended()],
    "all of them": lambda: [user_identity(), window(), role(), extended()],
}


@pytest.mark.parametrize("name", NEGOTIATIONS)
def test_an_association_is_negotiated_as_pynetdicom_does(listeners: tuple[FrontDoor, FrontDoor], name: str) -> None:
    one, request = image(), negotiation(NEGOTIATIONS[name]())

    fast, plain = (conversed(listener, [request, RELEASE], one) for listener in listeners)

    assert fast == plain
    assert [kind for kind, _ in fast.answers] == [ACCEPTED, RELEASE_RESPONSE]


def test_a_pdu_larger_than_was_negotiated_ends_the_association(listeners: tuple[FrontDoor, FrontDoor]) -> None:
    one, fragment = image(), Value(CT_CONTEXT, 0, bytes(200_000))

    outcome = conversed(listeners[0], [REQUEST, pdu(one.command) + pdu(fragment)], one)

    assert [kind for kind, _ in outcome.answers] == [ACCEPTED, ABORT]
    assert outcome.stored == ()


def test_an_instance_larger_than_is_collected_goes_to_the_disk_as_it_comes(listeners: tuple[FrontDoor, FrontDoor]) -> None:
    ds = ct_study(slices=1)[0]
    ds.Rows, ds.Columns, ds.PixelData = 2048, 2048, bytes(2048 * 2048 * 2)
    one = Image(ds.StudyInstanceUID, ds.SOPInstanceUID, encoded(ds))
    fragments = [one.dataset[start : start + 100_000] for start in range(0, len(one.dataset), 100_000)]
    stream = pdu(one.command) + b"".join(pdu(Value(CT_CONTEXT, 0, fragment)) for fragment in fragments[:-1])

    outcome = conversed(listeners[0], [REQUEST, stream + pdu(Value(CT_CONTEXT, LAST, fragments[-1])), RELEASE], one)

    assert outcome.stored == (one.dataset,)


def test_both_sides_may_release_at_once(listeners: tuple[FrontDoor, FrontDoor]) -> None:
    ae = AE("MODALITY")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    ours: list[object] = []
    listeners[0].scp._server.bind(evt.EVT_ESTABLISHED, lambda event: ours.append(event.assoc))
    association = ae.associate("127.0.0.1", listeners[0].port)

    association.release()

    assert association.is_released
    assert [established.is_released for established in ours] == [True]


def test_pynetdicom_is_of_the_version_that_the_fast_path_was_written_for() -> None:
    assert pynetdicom.__version__.startswith("3.0.")


def conversed(listener: FrontDoor, turns: list[bytes], one: Image, piece: int = 1 << 20) -> Outcome:
    """Say each turn in segments of `piece` bytes, and hear its answer; then look at what was stored of `one`."""
    answers = []
    with socket.create_connection(("127.0.0.1", listener.port), 10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for said in turns:
            for start in range(0, len(said), piece):
                connection.sendall(said[start : start + piece])
            answers.append(_answer(connection))
    wait_until(lambda: not listener.scp.open_associations())
    return Outcome(tuple(answers), tuple(after_meta(path) for path in listener.files(one.study)))


def negotiation(items: list[object]) -> bytes:
    """An association request for CT images with these items of user information."""
    request = A_ASSOCIATE()
    request.application_context_name = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1
    request.calling_ae_title, request.called_ae_title = "MODALITY", "CAD_NODE"
    contexts = [build_context(CTImageStorage, [ImplicitVRLittleEndian, ExplicitVRLittleEndian]), build_context(ECHO)]
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    request.presentation_context_definition_list = contexts
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received, implementation.implementation_class_uid = 16_384, generate_uid(prefix="1.2.")[:20].rstrip(".")
    request.user_information = [length, implementation, *items]
    encoding = A_ASSOCIATE_RQ()
    encoding.from_primitive(request)
    return bytes(encoding.encode())


def user_identity() -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type, item.positive_response_requested = 2, True
    item.primary_field, item.secondary_field = b"someone", b"a passcode"
    return item


def window() -> AsynchronousOperationsWindowNegotiation:
    item = AsynchronousOperationsWindowNegotiation()
    item.maximum_number_operations_invoked = item.maximum_number_operations_performed = 5
    return item


def role() -> SCP_SCU_RoleSelectionNegotiation:
    item = SCP_SCU_RoleSelectionNegotiation()
    item.sop_class_uid, item.scu_role, item.scp_role = CTImageStorage, True, True
    return item


def extended() -> SOPClassExtendedNegotiation:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = CTImageStorage, b"\2\0\3\0\1\0"
    return item


def _answer(connection: socket.socket) -> tuple[int, object]:
    """A PDU: of a message its status, comment and the message answered, of another all bytes; 0: the listener closes."""
    header = _read(connection, 6)
    if not header:
        return 0, None
    kind, length = struct.unpack(">BxL", header)
    body = _read(connection, length)
    elements = command_elements(body[6:]) if kind == DATA else {}
    return kind, (elements[0x0900], elements[0x0120], elements.get(0x0902)) if elements else body


def _read(connection: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        try:
            more = connection.recv(size - len(read))
        except ConnectionResetError:
            return b""
        if not more:
            return b""
        read += more
    return read
