"""What every transport does alike."""

from contextlib import contextmanager

import boto3
import pytest

from cad_node.app.sender import transports
from cad_node.settings import Settings
from tests.deliver.dicomweb import Says, dicomweb, told
from tests.deliver.peers import pacs, unused_port
from tests.factory import ct_study, save_study

DELIVERED, LATER, NEVER = (True, False), (False, True), (False, False)
pytestmark = pytest.mark.usefixtures("s3_credentials")

KINDS = ["dimse", "stow", "folder", "s3"]
every_transport = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def files(tmp_path):
    return save_study(ct_study(slices=3), tmp_path / "files")


@pytest.fixture
def there(request, tmp_path, kind):
    """The settings of a destination that takes everything."""
    with destination(kind, tmp_path, request) as to:
        yield to


@contextmanager
def destination(kind, folder, request):
    match kind:
        case "dimse":
            with pacs(lambda _: 0x0000) as to:
                yield {"ae_title": to.ae_title, "host": to.host, "port": to.port}
        case "stow":
            with dicomweb(lambda asked: Says(200, told(asked.instances))) as service:
                yield {"url": service.url}
        case "folder":
            (folder / "share").mkdir()
            yield {"path": folder / "share"}
        case "s3":
            endpoint = request.getfixturevalue("s3_endpoint")
            client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
            client.create_bucket(Bucket="taking")  # there already: us-east-1 doesn't mind
            yield {"bucket": "taking", "endpoint_url": endpoint, "region": "us-east-1"}


def away(kind, folder):
    """The settings of one that isn't there."""
    return {
        "dimse": {"ae_title": "PACS", "host": "127.0.0.1", "port": unused_port()},
        "stow": {"url": f"http://127.0.0.1:{unused_port()}"},
        "folder": {"path": folder / "nowhere"},
        "s3": {"bucket": "results", "endpoint_url": f"http://127.0.0.1:{unused_port()}", "region": "us-east-1"},
    }[kind]


def transport(kind, to):
    return transports(Settings(destinations={"there": {"transport": kind} | to}))["there"]


def verdicts(outcomes):
    return [(outcome.delivered, outcome.retryable) for outcome in outcomes]


@every_transport
def test_each_file_has_its_outcome_in_order_and_one_that_is_missing_or_broken_costs_the_others_nothing(kind, there, files, tmp_path):
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"not DICOM" * 100)

    outcomes = list(transport(kind, there).send([files[0], tmp_path / "gone.dcm", files[1], broken, files[2]]))

    assert verdicts(outcomes) == [DELIVERED, NEVER, DELIVERED, NEVER, DELIVERED]
    assert outcomes[1].reason == "gone.dcm can't be read: No such file or directory"
    assert outcomes[3].reason.startswith("broken.dcm: not a DICOM file")


@every_transport
def test_the_same_files_again_do_no_harm(kind, there, files):
    sending = transport(kind, there)

    outcomes = [*sending.send(files), *sending.send(files)]

    assert verdicts(outcomes) == [DELIVERED] * 6


@every_transport
def test_one_that_is_away_is_an_outcome_for_later_and_no_exception(kind, files, tmp_path):
    outcomes = list(transport(kind, away(kind, tmp_path)).send(files))

    assert verdicts(outcomes) == [LATER] * 3
    assert all(outcome.reason for outcome in outcomes)


@every_transport
def test_it_can_be_closed_half_way_and_used_again(kind, there, files):
    sending = transport(kind, there)

    first = sending.send(files)
    next(first)
    first.close()
    again = list(sending.send(files))

    assert verdicts(again) == [DELIVERED] * 3


@every_transport
def test_nothing_to_send_is_nothing_done(kind, tmp_path):
    assert list(transport(kind, away(kind, tmp_path)).send([])) == []


@every_transport
def test_no_reason_names_a_patient(kind, there, files, tmp_path):
    outcomes = [*transport(kind, there).send(files), *transport(kind, away(kind, tmp_path)).send(files)]

    assert not [outcome for outcome in outcomes for word in ("Test^Case", "TEST-1", "19600101") if word in outcome.reason]
