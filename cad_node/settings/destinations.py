"""Where results go: a class for each transport; `transport` says which."""

from pathlib import Path, PurePosixPath
from string import Formatter
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StringConstraints, Tag, field_validator, model_validator

from cad_node.objects import DEFAULT_OBJECTS, PRESETS, ObjectName, Profile, RefusalName, expanded
from cad_node.settings.peer import DicomPeer
from cad_node.settings.section import AETitle, Section
from cad_node.settings.tls import PeerTls
from cad_node.settings.web import OptionalWebUrl, WebAccess, WebUrl

LAYOUT_UIDS = ("study_instance_uid", "series_instance_uid", "sop_instance_uid")


def _expand(names: Any) -> Any:
    """Presets stand for the objects they name; what is no list of names is left for the type to refuse."""
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list | tuple) or not all(isinstance(name, str) for name in listed):
        return names
    objects = expanded(listed)
    known = (*get_args(ObjectName), *get_args(RefusalName))
    if unknown := [name for name in objects if name not in known]:
        raise ValueError(f"no object or preset is called {', '.join(unknown)}; objects: {', '.join(known)}; presets: {', '.join(PRESETS)}")
    return objects


class _Taker(Section):
    objects: Annotated[tuple[ObjectName | RefusalName, ...], BeforeValidator(_expand)] = DEFAULT_OBJECTS
    """Which objects it gets, docs/outputs.md; or the presets ohif, legacy, planning. rejection: a note that rejects what a later run has
    superseded. sr wants seg beside it. refusal: a short report for each model that can't take a study, which says why."""
    empty_frames: Literal["omitted", "kept"] = "omitted"
    """Whether a Segmentation has frames too in which nothing of a segment lies: some viewers misplace overlays without them."""

    @model_validator(mode="after")
    def _has_what_it_refers_to(self) -> Self:
        if "sr" in self.objects and "seg" not in self.objects:
            raise ValueError('sr refers to the Segmentation: name "seg" beside it, or take cad_sr')
        return self

    @property
    def profile(self) -> Profile:
        """What it gets of a run."""
        return Profile(self.objects, self.empty_frames == "kept")


class _Asked(_Taker):
    confirm_timeout_s: Annotated[float, Field(gt=0)] = 3600
    """Storage commitment: asked again when no report has come for so long. C-FIND, QIDO-RS: what isn't found for so long is missing."""
    confirm_resends: int = Field(default=3, ge=0)
    """How often an object that it doesn't keep is sent again before the delivery fails."""
    qido_url: OptionalWebUrl = ""
    """Its DICOMweb service, such as https://pacs.example/dicom-web, for confirm = "qido"; of transport = "stow" only where it isn't
    url."""


class Destination(WebAccess, _Asked, DicomPeer):
    transport: Literal["dimse"] = "dimse"
    """C-STORE to a PACS. headers, token and oauth2 are for confirm = "qido"."""
    confirm: Literal["none", "commitment", "find", "qido"] = "none"
    """How it proves that it keeps what it took: storage commitment, C-FIND, QIDO-RS, or not at all. A delivery is committed only after the
    proof."""
    confirm_ae_title: AETitle | None = None
    """Called AE title for storage commitment and C-FIND, where it isn't ae_title."""
    confirm_host: str | None = None
    """Address for them, where it isn't host."""
    confirm_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """TCP port for them, where it isn't port."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.confirm == "qido" and not self.qido_url:
            raise ValueError('confirm = "qido" needs qido_url')
        self.require_safe(self.qido_url)
        return self

    @property
    def address(self) -> tuple[str, str]:
        """Its name and its host, for the audit trail."""
        return self.ae_title, self.host

    @property
    def confirming(self) -> Self:
        """The peer that is asked for storage commitment, or by C-FIND."""
        asked = {"ae_title": self.confirm_ae_title, "host": self.confirm_host, "port": self.confirm_port}
        return self.model_copy(update={key: value for key, value in asked.items() if value is not None})


class StowDestination(WebAccess, _Asked):
    transport: Literal["stow"]
    """STOW-RS to a DICOMweb service."""
    url: WebUrl
    """The service, without /studies: https://pacs.example/dicom-web."""
    tls: PeerTls | None = None
    """TLS to this PACS; without it, an association is plain, and https goes by BCP 195 and the system's authorities."""
    timeout_s: Annotated[float, Field(gt=0)] = 120
    """Longest wait for the connection, and for the next bytes on it: what it takes to store a request's objects."""
    max_request_mb: Annotated[float, Field(gt=0)] = 64
    """Objects share a request up to this size; a larger one has its own."""
    confirm: Literal["none", "qido"] = "none"
    """How it proves that it keeps what it took: QIDO-RS, or not at all. A delivery is committed only after the proof."""

    @field_validator("url")
    @classmethod
    def _is_the_service(cls, url: str) -> str:
        if url.rstrip("/").endswith("/studies"):
            raise ValueError("leave /studies out: the node adds it")
        return url

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        self.require_safe(self.url, self.qido_url)
        return self

    @property
    def address(self) -> tuple[str, str]:
        """As Destination.address."""
        return self.url, urlsplit(self.url).hostname or ""


def _checked_layout(layout: str) -> str:
    fields = [name for _, name, _, _ in Formatter().parse(layout) if name is not None]
    path = PurePosixPath(layout)
    if path.is_absolute() or ".." in path.parts or not set(fields) <= set(LAYOUT_UIDS) or "sop_instance_uid" not in fields:
        raise ValueError(f"write a relative path of {', '.join(f'{{{name}}}' for name in LAYOUT_UIDS)}, with the last of them")
    return layout


class _Filing(_Taker):
    layout: Annotated[str, AfterValidator(_checked_layout)] = "{study_instance_uid}/{series_instance_uid}/{sop_instance_uid}.dcm"
    """Where an object lies, of {study_instance_uid}, {series_instance_uid} and {sop_instance_uid}; / separates folders."""


class FolderDestination(_Filing):
    transport: Literal["folder"]
    """Files in a folder, such as a network share."""
    path: Path
    """The folder. It must exist: one that isn't there may be a share that isn't mounted."""
    umask: Annotated[str, StringConstraints(pattern=r"^0?[0-7]{3}$")] = "077"
    """The permissions that files and folders in it don't get, in octal."""

    @property
    def address(self) -> tuple[str, str]:
        """As Destination.address."""
        return f"folder {self.path}", ""


class S3Destination(_Filing):
    transport: Literal["s3"]
    """Objects of a bucket, S3 or what speaks like it. Credentials come as boto3 finds them: AWS_* variables, its files, a role."""
    bucket: Annotated[str, StringConstraints(min_length=1)]
    """The bucket. It must exist."""
    prefix: str = ""
    """Comes before each object's key; ends in / to be a folder."""
    endpoint_url: OptionalWebUrl = ""
    """Where the service is; empty: Amazon's."""
    region: str = ""
    """Its region; empty: as boto3 finds it."""
    encryption: Literal["", "AES256", "aws:kms"] = ""
    """Server-side encryption to ask for; empty: what the bucket does by itself."""
    kms_key_id: str = ""
    """The key for encryption = "aws:kms"; empty: the account's own."""
    authorities: Path | None = None
    """PEM file of the authorities whose certificates are taken from the service; empty: those that come with boto3."""
    timeout_s: Annotated[float, Field(gt=0)] = 60
    """Longest wait for the connection, and for the next bytes on it."""

    @model_validator(mode="after")
    def _key_is_used(self) -> Self:
        if self.kms_key_id and self.encryption != "aws:kms":
            raise ValueError('kms_key_id needs encryption = "aws:kms"')
        return self

    @property
    def address(self) -> tuple[str, str]:
        """As Destination.address."""
        return f"s3://{self.bucket}", urlsplit(self.endpoint_url).hostname or ""


def _transport(given: Any) -> str | None:
    named = given.get("transport", "dimse") if isinstance(given, dict) else getattr(given, "transport", None)
    return named if isinstance(named, str) else None


AskedDestination = Destination | StowDestination
AnyDestination = Annotated[
    Annotated[Destination, Tag("dimse")]
    | Annotated[StowDestination, Tag("stow")]
    | Annotated[FolderDestination, Tag("folder")]
    | Annotated[S3Destination, Tag("s3")],
    Discriminator(_transport, custom_error_type="transport", custom_error_message="transport is dimse (or left out), stow, folder or s3"),
]
