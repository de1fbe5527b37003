"""Objects into a bucket of S3, or of what speaks like it; boto3 does the work, and comes with cad-node[s3]."""

import base64
import hashlib
from collections.abc import Generator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

from cad_node.deliver.layout import filed_as
from cad_node.deliver.part10 import unreadable
from cad_node.deliver.transport import Outcome
from cad_node.errors import PacsUnreachable, SettingsError
from cad_node.settings import S3Destination

_TOO_LARGE = "EntityTooLarge"


class S3:
    """A Transport. The service compares each object with its MD5 and keeps none that differs: its answer is the proof."""

    def __init__(self, to: S3Destination) -> None:
        """Raises SettingsError where boto3 isn't there, or can't make a client of these settings."""
        self._to = to
        self._client: Any = _client(to)
        encryption = {"ServerSideEncryption": to.encryption, "SSEKMSKeyId": to.kms_key_id}
        self._more = {key: value for key, value in encryption.items() if value}

    def send(self, files: Sequence[Path]) -> Generator[Outcome, None, None]:
        """One Outcome per file, in order. Once the service is in trouble, the rest isn't tried, but retryable."""
        trouble: Outcome | None = None
        for path in files:
            try:
                outcome = trouble or self._send(path)
            except (PacsUnreachable, SettingsError) as exc:
                outcome = trouble = Outcome(False, True, str(exc))
                self._client = None  # the next one reads credentials anew, which may have been replaced
            yield outcome

    def _send(self, path: Path) -> Outcome:
        name = filed_as(self._to.layout, path)
        if isinstance(name, Outcome):
            return name
        try:
            content = path.open("rb")
        except OSError as exc:
            return unreadable(path, exc)
        with content:
            return self._put(self._to.prefix + name, content)

    def _put(self, key: str, content: BufferedReader) -> Outcome:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - it is an extra

        md5 = base64.b64encode(hashlib.file_digest(content, _md5).digest()).decode()
        content.seek(0)
        self._client = self._client or _client(self._to)
        try:
            answer = self._client.put_object(
                Bucket=self._to.bucket, Key=key, Body=content, ContentMD5=md5, ContentType="application/dicom", **self._more
            )
        except ClientError as exc:
            code = str(exc.response.get("Error", {}).get("Code", "unknown"))
            if code == _TOO_LARGE:
                return Outcome(False, False, f"bucket {self._to.bucket} doesn't take {key}: {code}")
            raise PacsUnreachable(f"bucket {self._to.bucket} doesn't take {key}: {code}") from exc
        except (BotoCoreError, OSError) as exc:
            raise PacsUnreachable(f"bucket {self._to.bucket} can't be reached: {type(exc).__name__}") from exc
        return Outcome.success(f"stored, ETag {answer['ETag']}")


def _client(to: S3Destination) -> Any:
    try:
        import boto3  # noqa: PLC0415 - it is an extra
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    except ImportError as exc:
        raise SettingsError('transport = "s3" needs boto3: pip install "cad-node[s3]"') from exc
    config = Config(
        connect_timeout=to.timeout_s,
        read_timeout=to.timeout_s,
        retries={"total_max_attempts": 1},  # the sender waits and tries again
        request_checksum_calculation="when_required",  # not every service knows the newer checksums; the MD5 is known to all
    )
    try:
        session = boto3.Session(region_name=to.region or None)  # its own: the shared one keeps credentials
        return session.client(
            "s3", endpoint_url=to.endpoint_url or None, verify=str(to.authorities) if to.authorities else None, config=config
        )
    except (BotoCoreError, ValueError) as exc:
        raise SettingsError(f"bucket {to.bucket}: {exc}; check region, endpoint_url and AWS_PROFILE") from exc


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)  # S3's own measure of a transfer, not a signature
