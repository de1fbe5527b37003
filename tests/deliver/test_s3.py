"""Into a bucket: objects whole and under their keys, and what a service or its absence says."""

import subprocess
import sys

import boto3
import pytest
from pydicom import dcmread

from cad_node.deliver.s3 import S3
from cad_node.errors import SettingsError
from cad_node.settings import S3Destination
from tests.deliver.peers import unused_port
from tests.factory import ct_study, save_study

pytestmark = pytest.mark.usefixtures("s3_credentials")

DELIVERED, LATER = (True, False), (False, True)


@pytest.fixture
def bucket(s3_endpoint):
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="results")
    yield client
    for found in client.list_objects_v2(Bucket="results").get("Contents", []):
        client.delete_object(Bucket="results", Key=found["Key"])
    client.delete_bucket(Bucket="results")


@pytest.fixture
def files(tmp_path):
    return save_study(ct_study(slices=3), tmp_path / "files")


def to(endpoint, **more) -> S3Destination:
    return S3Destination(**{"transport": "s3", "bucket": "results", "endpoint_url": endpoint, "region": "us-east-1", "timeout_s": 2} | more)


def verdicts(outcomes):
    return [(outcome.delivered, outcome.retryable) for outcome in outcomes]


def test_objects_arrive_byte_for_byte_under_prefix_study_series_and_instance(s3_endpoint, bucket, files):
    outcomes = list(S3(to(s3_endpoint, prefix="cad/")).send(files))

    assert verdicts(outcomes) == [DELIVERED] * 3
    for path in files:
        ds = dcmread(path)
        stored = bucket.get_object(Bucket="results", Key=f"cad/{ds.StudyInstanceUID}/{ds.SeriesInstanceUID}/{ds.SOPInstanceUID}.dcm")
        assert (stored["Body"].read(), stored["ContentType"]) == (path.read_bytes(), "application/dicom")


@pytest.mark.parametrize(("encryption", "key"), [("AES256", ""), ("aws:kms", "arn:aws:kms:us-east-1:1:key/k")])
def test_encryption_is_asked_for(s3_endpoint, bucket, files, encryption, key):
    list(S3(to(s3_endpoint, encryption=encryption, kms_key_id=key, layout="{sop_instance_uid}")).send(files[:1]))

    stored = bucket.head_object(Bucket="results", Key=str(dcmread(files[0]).SOPInstanceUID))
    assert (stored["ServerSideEncryption"], stored.get("SSEKMSKeyId", "")) == (encryption, key)


def test_a_bucket_that_is_missing_may_be_made_and_is_named(s3_endpoint, files):
    outcomes = list(S3(to(s3_endpoint, bucket="nowhere")).send(files[:2]))

    assert verdicts(outcomes) == [LATER, LATER]
    assert outcomes[0].reason.startswith("bucket nowhere doesn't take ")
    assert outcomes[0].reason.endswith(": NoSuchBucket")


def test_a_service_that_is_away_is_tried_once_a_batch(files):
    outcomes = list(S3(to(f"http://127.0.0.1:{unused_port()}")).send(files))

    assert verdicts(outcomes) == [LATER] * 3
    assert {outcome.reason for outcome in outcomes} == {"bucket results can't be reached: EndpointConnectionError"}


def test_without_credentials_nothing_is_given_up(s3_endpoint, bucket, files, monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    shared = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    transport = S3(to(s3_endpoint))

    without = list(transport.send(files[:1]))
    shared.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    then = list(transport.send(files[:1]))

    assert verdicts(without) == [LATER]
    assert without[0].reason == "bucket results can't be reached: NoCredentialsError"
    assert verdicts(then) == [DELIVERED]


WITHOUT_BOTO3 = """
import sys
sys.modules["boto3"] = None
from cad_node.app.sender import transports
from cad_node.errors import SettingsError
from cad_node.settings import Settings
try:
    transports(Settings(destinations={"archive": {"transport": "s3", "bucket": "results"}}))
except SettingsError as error:
    print(error)
"""


def test_without_boto3_the_start_says_what_to_install():
    said = subprocess.run([sys.executable, "-c", WITHOUT_BOTO3], capture_output=True, text=True, check=True)

    assert said.stdout == 'transport = "s3" needs boto3: pip install "cad-node[s3]"\n'


def test_an_endpoint_that_is_none_is_a_wrong_setting(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    with pytest.raises(SettingsError, match="bucket results"):
        S3(to("http://127.0.0.1:1"))
