"""Objects that a PACS doesn't take give way to those that show about the same, by themselves and on the record."""

import random
import shutil
import subprocess
import time

import pytest
from pydicom.uid import UID

from cad_node.app.sender import transports
from cad_node.deliver.echo import echo
from cad_node.errors import PacsUnreachable
from cad_node.lifecycle import DeliveryState
from cad_node.sender import Sender
from cad_node.settings import Destination, Settings
from cad_node.store.deliveries import Deliveries
from cad_node.store.jobs import Jobs
from tests.deliver.dicomweb import Says, dicomweb, told
from tests.deliver.peers import only, pacs, unused_port
from tests.replaceable import SOP_CLASSES, Made, queue_replaceable
from tests.store import arrivals

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # on both: tests/store

DELIVERED, REPLACED, FAILED, HELD = DeliveryState.DELIVERED, DeliveryState.REPLACED, DeliveryState.FAILED, DeliveryState.HELD
ALL = ("seg", "gsps", "sc", "sr")


def settings(objects, **to) -> Settings:
    return Settings(destinations={"pacs1": {"objects": objects, **to}}, sender={"timeout_s": 5})


def at(to: Destination) -> dict:
    return {"ae_title": to.ae_title, "host": to.host, "port": to.port}


def send_all(database, read: Settings) -> int:
    """Send until nothing is due; how many batches it took."""
    sender = Sender(read, Deliveries(database), transports(read), lambda: arrivals.NOW, random.Random(1), "sender/1")
    batches = 0
    while sender.send_due("pacs1"):
        batches += 1
        assert batches < 10, "it goes on for ever"
    return batches


def deliver(database, folder, read: Settings, *made) -> dict[str, tuple[DeliveryState, str]]:
    """What became of each object of a job, by its builder: its delivery's state and reason."""
    profiles = {name: to.profile for name, to in read.destinations.items()}
    job_id = queue_replaceable(database, folder, profiles, *made)
    send_all(database, read)
    detail = Jobs(database).show(job_id)
    builders = {result.sop_instance_uid: result.builder for result in detail.results}
    return {builders[row.sop_instance_uid]: (row.state, row.reason) for row in detail.deliveries}


def events(database, job_id=1):
    return [(event.event, event.detail) for event in Jobs(database).show(job_id).events if event.delivery_id]


def test_seg_gives_way_to_gsps_and_gsps_to_sc_and_the_others_still_go(database, tmp_path):
    received = []
    takes = only(SOP_CLASSES["sc"]) + only(SOP_CLASSES["sr"])

    with pacs(lambda event: received.append(event.request.AffectedSOPClassUID) or 0x0000, takes) as to:
        became = deliver(database, tmp_path, settings(["seg", "sr"], **at(to)), *ALL)

    assert {name: state for name, (state, _) in became.items()} == {
        "seg": REPLACED,
        "gsps": REPLACED,
        "sc": DELIVERED,
        "sr": DELIVERED,
    }
    assert sorted(received) == sorted([SOP_CLASSES["sc"], SOP_CLASSES["sr"]])
    not_accepted = "presentation context not accepted: Segmentation Storage in Explicit VR Little Endian"
    assert became["seg"][1] == f"pacs1 takes no Segmentation Storage ({not_accepted}); gsps goes instead"
    assert became["gsps"][1].endswith("; sc goes instead")
    assert Deliveries(database).pending() == 0


def test_the_job_says_so(database, tmp_path):
    with pacs(lambda _: 0x0000, only(SOP_CLASSES["gsps"])) as to:
        deliver(database, tmp_path, settings(["seg"], **at(to)), "seg", "gsps", "sc")

    said = [detail for event, detail in events(database) if event == "replace"]
    assert len(said) == 1
    assert said[0].startswith("pacs1 takes no Segmentation Storage (")
    assert said[0].endswith("); gsps goes instead")


def test_a_pacs_that_takes_the_context_but_not_the_object_is_believed_too(database, tmp_path):
    def refuse_seg(event):
        return 0x0122 if event.request.AffectedSOPClassUID == SOP_CLASSES["seg"] else 0x0000

    with pacs(refuse_seg) as to:
        became = deliver(database, tmp_path, settings(["seg"], **at(to)), "seg", "gsps")

    assert [state for state, _ in became.values()] == [REPLACED, DELIVERED]
    assert "(0x0122 SOP class not supported)" in became["seg"][1]


def test_a_dicomweb_service_is_believed_too(database, tmp_path):
    def refuse_seg(asked):
        seg = [uid for uid, part in zip(asked.instances, asked.parts, strict=True) if SOP_CLASSES["seg"].encode() in part]
        return Says(202, told(set(asked.instances) - set(seg), dict.fromkeys(seg, 0x0122)))

    with dicomweb(refuse_seg) as service:
        became = deliver(database, tmp_path, settings(["seg", "sr"], transport="stow", url=service.url), *ALL)

    assert {name: state for name, (state, _) in became.items()} == {"seg": REPLACED, "gsps": DELIVERED, "sr": DELIVERED}


@pytest.mark.skipif(not shutil.which("storescp"), reason="DCMTK's storescp isn't installed")
def test_dcmtk_as_a_pacs_of_secondary_captures_gets_one(database, tmp_path):
    with storescp_of(SOP_CLASSES["sc"], tmp_path) as to:
        became = deliver(database, tmp_path / "results", settings(["seg", "sr"], **at(to)), *ALL, "cad_sr")

    assert {name: state for name, (state, _) in became.items()} == {
        "seg": REPLACED,
        "gsps": REPLACED,
        "sr": REPLACED,
        "cad_sr": REPLACED,
        "sc": DELIVERED,
    }
    assert len(list((tmp_path / "received").iterdir())) == 1


def test_what_goes_anyway_is_not_sent_twice(database, tmp_path):
    received = []

    with pacs(lambda event: received.append(event.request.AffectedSOPClassUID) or 0x0000, only(SOP_CLASSES["sc"])) as to:
        became = deliver(database, tmp_path, settings(["seg", "sc"], **at(to)), "seg", "gsps", "sc")

    assert [state for state, _ in became.values()] == [REPLACED, DELIVERED, REPLACED]
    assert received == [SOP_CLASSES["sc"]]


def test_two_objects_may_have_the_same_substitute(database, tmp_path):
    with pacs(lambda _: 0x0000, only(SOP_CLASSES["gsps"])) as to:
        became = deliver(database, tmp_path, settings(["seg", "rtstruct"], **at(to)), "seg", "rtstruct", "gsps", "gsps")

    assert {name: state for name, (state, _) in became.items()} == {"seg": REPLACED, "rtstruct": REPLACED, "gsps": DELIVERED}
    assert len(Deliveries(database).list()) == 4


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (("seg",), "; gsps wasn't made; sc wasn't made"),
        (("seg", Made("gsps", edition="other")), "; gsps wasn't made; sc wasn't made"),
        (("seg", Made("gsps", fault="its circle lies elsewhere")), "; gsps is held; sc wasn't made"),
    ],
)
def test_where_the_substitute_is_missing_or_faulty_the_delivery_fails_and_says_so(database, tmp_path, made, said):
    with pacs(lambda _: 0x0000, only(SOP_CLASSES["sr"])) as to:
        became = deliver(database, tmp_path, settings(["seg"], **at(to)), *made)

    assert became["seg"][0] == FAILED
    assert became["seg"][1].endswith(f"{said}; nothing shows about the same instead")


def test_a_substitute_that_is_missing_is_passed_over(database, tmp_path):
    with pacs(lambda _: 0x0000, only(SOP_CLASSES["sc"])) as to:
        became = deliver(database, tmp_path, settings(["seg"], **at(to)), "seg", "sc")

    assert [state for state, _ in became.values()] == [REPLACED, DELIVERED]
    assert became["seg"][1].endswith("; gsps wasn't made; sc goes instead")


def test_at_the_end_of_the_chain_the_delivery_fails_and_says_so(database, tmp_path):
    with pacs(lambda _: 0x0000, only(SOP_CLASSES["sr"])) as to:
        became = deliver(database, tmp_path, settings(["seg"], **at(to)), "seg", "gsps", "sc")

    assert [state for state, _ in became.values()] == [REPLACED, REPLACED, FAILED]
    assert became["sc"][1].endswith("; nothing shows about the same instead")


def test_of_several_substitutes_the_sound_ones_go(database, tmp_path):
    with pacs(lambda _: 0x0000, only(SOP_CLASSES["gsps"])) as to:
        read = settings(["seg"], **at(to))
        deliver(database, tmp_path, read, "seg", "gsps", Made("gsps", fault="its circle lies elsewhere"))

    assert sorted(row.state for row in Deliveries(database).list()) == sorted([REPLACED, DELIVERED, HELD])


def test_what_was_replaced_is_not_sent_again_by_itself_but_where_an_admin_wants_it(database, tmp_path):
    received = []

    def note(event):
        received.append(event.request.AffectedSOPClassUID)
        return 0x0000

    with pacs(note, only(SOP_CLASSES["gsps"])) as to:
        deliver(database, tmp_path, settings(["seg"], **at(to)), "seg", "gsps")
    by_itself = Deliveries(database).retry_all(arrivals.NOW)
    wanted = Deliveries(database).retry(1, arrivals.NOW)
    with pacs(note) as to:
        send_all(database, settings(["seg"], **at(to)))

    assert (by_itself, wanted) == (0, 1)
    assert [UID(uid).name for uid in received] == ["Grayscale Softcopy Presentation State Storage", "Segmentation Storage"]
    assert {row.state for row in Deliveries(database).list()} == {DELIVERED}


def test_a_file_that_is_refused_for_another_reason_has_no_substitute(database, tmp_path):
    with pacs(lambda _: 0xA900) as to:
        became = deliver(database, tmp_path, settings(["seg"], **at(to)), "seg", "gsps")

    assert became == {"seg": (FAILED, "0xA900 dataset doesn't match SOP class")}


class storescp_of:  # noqa: N801 - a context manager, named as the tool
    """DCMTK's storescp, which takes one SOP class."""

    def __init__(self, sop_class_uid, folder):
        self._folder = folder / "received"
        self._folder.mkdir(parents=True)
        self._config = folder / "storescp.cfg"
        self._config.write_text(ASSOCIATION_CONFIG.format(sop_class_uid=sop_class_uid))

    def __enter__(self) -> Destination:
        to = Destination(ae_title="PACS", host="127.0.0.1", port=unused_port())
        command = ["storescp", "-xf", str(self._config), "Default", "-od", str(self._folder), str(to.port)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                echo(to, "CAD_NODE", 5)
            except PacsUnreachable as exc:
                if "but not C-ECHO" in str(exc):  # it is there, and takes nothing else
                    return to
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()


ASSOCIATION_CONFIG = """\
[[TransferSyntaxes]]
[Uncompressed]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = LittleEndianImplicit
[[PresentationContexts]]
[One]
PresentationContext1 = {sop_class_uid}\\Uncompressed
[[Profiles]]
[Default]
PresentationContexts = One
"""
