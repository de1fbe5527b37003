"""C-STORE to SCPs that take, warn, refuse, abort, stall or aren't there."""

import gc
import hashlib
import shutil
import subprocess
import threading
import time
from contextlib import closing

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
)
from pynetdicom import evt
from pynetdicom.presentation import AllStoragePresentationContexts

from cad_node.deliver.cstore import CStore
from cad_node.settings import Destination
from tests.deliver.peers import only, pacs, relay, rude_peer, unused_port
from tests.factory import ct_study, save_study


@pytest.fixture
def files(tmp_path):
    return save_study(ct_study(slices=4), tmp_path / "files")


def send(destination, paths, timeout_s=5.0):
    return list(CStore(destination, "CAD_NODE", timeout_s).send(paths))


def verdicts(outcomes):
    return [(outcome.delivered, outcome.retryable) for outcome in outcomes]


DELIVERED, LATER, NEVER = (True, False), (False, True), (False, False)


def test_files_arrive_byte_for_byte_over_one_association(files):
    received, associations = {}, []

    def take(event):
        received[event.request.AffectedSOPInstanceUID] = event.request.DataSet.getvalue()
        associations.append(event.assoc)
        return 0x0000

    with pacs(take) as destination:
        outcomes = send(destination, files)

    assert verdicts(outcomes) == [DELIVERED] * 4
    assert len(set(associations)) == 1
    for path in files:
        assert path.read_bytes().endswith(received[dcmread(path).SOPInstanceUID])


def test_only_what_the_files_need_is_proposed(files):
    proposed = []

    def note(event):
        proposed.extend(event.assoc.requestor.primitive.presentation_context_definition_list)
        return 0x0000

    with pacs(note) as destination:
        send(destination, files[:1])

    assert [(context.abstract_syntax, context.transfer_syntax) for context in proposed] == [(CTImageStorage, [ExplicitVRLittleEndian])]


def test_the_node_introduces_itself(files):
    seen = []

    def note(event):
        seen.append((event.assoc.requestor.ae_title, event.assoc.requestor.implementation_version_name))
        return 0x0000

    with pacs(note) as destination:
        send(destination, files[:1])

    assert seen == [("CAD_NODE", "CAD_NODE_0.1")]


def test_a_status_decides_for_its_own_file_alone(files):
    answers = iter([0x0000, 0xA700, 0xC000, 0xB000])

    with pacs(lambda _: next(answers)) as destination:
        outcomes = send(destination, files)

    assert verdicts(outcomes) == [DELIVERED, LATER, NEVER, DELIVERED]
    assert [outcome.reason[:6] for outcome in outcomes] == ["0x0000", "0xA700", "0xC000", "0xB000"]


def test_a_refused_context_is_for_good_and_names_class_and_syntax(files, tmp_path):
    other = ct_study(slices=1)
    other[0].SOPClassUID = other[0].file_meta.MediaStorageSOPClassUID = MRImageStorage
    paths = [*save_study(other, tmp_path / "mr"), files[0]]

    with pacs(lambda _: 0x0000, only(CTImageStorage)) as destination:
        outcomes = send(destination, paths)

    assert verdicts(outcomes) == [NEVER, DELIVERED]
    assert outcomes[0].reason == "presentation context not accepted: MR Image Storage in Explicit VR Little Endian"


def test_a_peer_that_takes_another_syntax_alone_is_not_sent_this_one(files):
    with pacs(lambda _: 0x0000, only(CTImageStorage, ImplicitVRLittleEndian)) as destination:
        outcomes = send(destination, files[:1])

    assert verdicts(outcomes) == [NEVER]


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"require_calling_aet": ["SOMEONE"]}, "calling ae title not recognised"),
        ({"require_called_aet": True, "ae_title": "OTHER"}, "called ae title not recognised"),
    ],
)
def test_a_pacs_that_does_not_know_us_yet_costs_no_result(files, known, reason):
    with pacs(lambda _: 0x0000, **known) as destination:
        outcomes = send(destination, files[:2])

    assert verdicts(outcomes) == [LATER, LATER]
    assert f"rejects associations of CAD_NODE for good: {reason}" in outcomes[0].reason


def test_results_arrive_once_the_pacs_authorises_the_node(files):
    answers = iter([0x0124, 0x0124, 0x0000, 0x0000])

    with pacs(lambda _: next(answers)) as destination:
        before, after = send(destination, files[:2]), send(destination, files[:2])

    assert verdicts(before) == [LATER, LATER]
    assert before[0].reason == "0x0124 not authorised"
    assert verdicts(after) == [DELIVERED, DELIVERED]


def test_a_rejection_for_now_is_retryable(files):
    with pacs(lambda _: 0x0000, maximum_associations=1) as destination, closing(CStore(destination, "A", 5).send(files)) as first:
        next(first)
        outcomes = send(destination, files[:2])

    assert verdicts(outcomes) == [LATER, LATER]
    assert "for now: local limit exceeded" in outcomes[0].reason


def test_an_abort_in_mid_batch_spares_what_was_delivered_and_leaves_the_rest_for_later(files):
    answers = iter([0x0000])

    def abort_second(event):
        status = next(answers, None)
        if status is None:
            event.assoc.abort()
        return status

    with pacs(abort_second) as destination:
        outcomes = send(destination, files)

    assert verdicts(outcomes) == [DELIVERED, LATER, LATER, LATER]
    assert "aborted the association" in outcomes[1].reason or "connection" in outcomes[1].reason


@pytest.mark.parametrize("after_bytes", [50, 400, 100_000, 2_500_000])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of pynetdicom's SCP, as below
def test_a_line_cut_anywhere_leaves_the_cut_file_for_later(tmp_path, after_bytes):
    paths = save_study(ct_study(voxels=np.zeros((2, 1024, 1024), np.int16)), tmp_path)  # 2 MiB each

    with pacs(lambda _: 0x0000) as behind, rude_peer(lambda connection: relay(connection, behind, after_bytes)) as destination:
        outcomes = send(destination, paths)
    gc.collect()

    delivered = 1 if after_bytes > 2_200_000 else 0
    assert verdicts(outcomes) == [DELIVERED] * delivered + [LATER] * (2 - delivered)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # pynetdicom's SCP leaves the aborted socket to the collector
def test_a_peer_that_does_not_answer_is_given_up_after_the_timeout(files):
    release = threading.Event()

    def stall(_):
        release.wait(5)
        return 0x0000

    with pacs(stall) as destination:
        started = time.monotonic()
        outcomes = send(destination, files[:2], timeout_s=0.3)
        took_s = time.monotonic() - started
        release.set()
    gc.collect()  # here, where that warning is expected

    assert verdicts(outcomes) == [LATER, LATER]
    assert "no answer within 0.3 s" in outcomes[0].reason
    assert took_s < 2


def test_a_slow_peer_that_makes_progress_is_waited_for(tmp_path):
    voxels = np.random.default_rng(1).integers(-1000, 400, (1, 2048, 2048), np.int16)
    paths = save_study(ct_study(voxels=voxels), tmp_path)
    dawdle = [(evt.EVT_PDU_RECV, lambda _: time.sleep(0.02))]

    with pacs(lambda _: 0x0000, maximum_pdu_size=65536, handlers=dawdle) as destination:
        started = time.monotonic()
        outcomes = send(destination, paths, timeout_s=1)
        took_s = time.monotonic() - started

    assert verdicts(outcomes) == [DELIVERED]
    assert took_s > 2


def test_nobody_listening_is_retryable_and_says_where(files):
    port = unused_port()

    outcomes = send(Destination(ae_title="PACS", host="127.0.0.1", port=port), files[:2])

    assert verdicts(outcomes) == [LATER, LATER]
    assert outcomes[0].reason == f"PACS at 127.0.0.1:{port} can't be reached: Connection refused"


def test_an_unknown_host_is_retryable(files):
    outcomes = send(Destination(ae_title="PACS", host="pacs.invalid", port=104), files[:1])

    assert verdicts(outcomes) == [LATER]


@pytest.mark.parametrize(
    "behave",
    [
        lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        lambda connection: connection.sendall(b"\x02\x00\x00\x00\x00\x04junk"),
        lambda connection: connection.sendall(b"\x03\x00\x00\x00\x00\x00"),
        lambda connection: connection.sendall(b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00"),
        lambda connection: connection.recv(1),
        lambda connection: time.sleep(0.5),
    ],
    ids=["http", "broken accept", "empty reject", "abort", "hang-up", "silence"],
)
def test_what_is_not_dicom_is_retryable_and_never_an_exception(files, behave):
    with rude_peer(behave) as destination:
        outcomes = send(destination, files[:2], timeout_s=0.3)

    assert verdicts(outcomes) == [LATER, LATER]


def test_a_missing_file_is_permanent_and_costs_its_neighbours_nothing(files, tmp_path):
    paths = [files[0], tmp_path / "gone.dcm", files[1]]

    with pacs(lambda _: 0x0000) as destination:
        outcomes = send(destination, paths)

    assert verdicts(outcomes) == [DELIVERED, NEVER, DELIVERED]
    assert outcomes[1].reason == "gone.dcm can't be read: No such file or directory"


def test_a_file_that_is_not_dicom_is_permanent(tmp_path):
    junk = tmp_path / "junk.dcm"
    junk.write_bytes(b"not DICOM" * 100)

    outcomes = send(Destination(ae_title="PACS", host="127.0.0.1", port=unused_port()), [junk])

    assert verdicts(outcomes) == [NEVER]


@pytest.mark.parametrize("keyword", ["MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of the UID that is wrong on purpose
def test_a_file_whose_uid_is_none_is_permanent_and_costs_its_neighbours_nothing(files, keyword):
    ds = dcmread(files[0])
    setattr(ds.file_meta, keyword, "1." * 32 + "1")
    with files[0].open("wb") as stream:
        stream.write(b"\0" * 128 + b"DICM")
        write_file_meta_info(stream, ds.file_meta, enforce_standard=False)

    with pacs(lambda _: 0x0000) as destination:
        outcomes = send(destination, files[:2])

    assert verdicts(outcomes) == [NEVER, DELIVERED]


def test_more_contexts_than_an_association_holds_take_a_second_one(tmp_path):
    associations = set()
    study = ct_study(slices=130)
    for ds, context in zip(study, AllStoragePresentationContexts, strict=False):
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = context.abstract_syntax
    paths = save_study(study, tmp_path)

    with pacs(lambda event: associations.add(event.assoc) or 0x0000) as destination:
        outcomes = send(destination, paths)

    assert verdicts(outcomes) == [DELIVERED] * 130
    assert len(associations) == 2


def test_closing_half_way_releases_the_association(files):
    ended = []

    with pacs(
        lambda _: 0x0000,
        handlers=[(evt.EVT_RELEASED, lambda _: ended.append("released")), (evt.EVT_ABORTED, lambda _: ended.append("aborted"))],
    ) as destination:
        sending = CStore(destination, "CAD_NODE", 5).send(files)
        next(sending)
        sending.close()
        wait_until(lambda: ended)

    assert ended == ["released"]


@pytest.mark.skipif(not shutil.which("storescp"), reason="DCMTK's storescp isn't installed")
def test_dcmtk_s_storescp_stores_the_same_pixels(files, tmp_path):
    port = unused_port()
    folder = tmp_path / "received"
    folder.mkdir()
    process = subprocess.Popen(["storescp", "-od", str(folder), "-aet", "PACS", "+B", str(port)])
    try:
        destination = Destination(ae_title="PACS", host="127.0.0.1", port=port)
        wait_until(lambda: send(destination, files)[0].delivered)
    finally:
        process.terminate()
        process.wait()

    received = {dcmread(path).SOPInstanceUID: digest(path) for path in folder.iterdir()}
    assert received == {dcmread(path).SOPInstanceUID: digest(path) for path in files}


def digest(path):
    return hashlib.sha256(dcmread(path).PixelData).hexdigest()


def wait_until(holds, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
