"""One TOML file and CAD_NODE_* variables -> frozen settings; every key is checked at start, unknown keys are refused."""

import os
import tomllib
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, StringConstraints, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from cad_node.errors import SettingsError
from cad_node.shipped import shipped

# AE: 1 to 16 characters of the default repertoire without backslash, not all spaces, PS3.5 6.2
AETitle = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$")]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0)]
PeerName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,32}$")]
ObjectName = Literal["seg", "sr"]  # keys of BUILDERS, app/worker.py
RefusalName = Literal["refusal"]  # made instead of them, where a model can't take a study


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Node(_Section):
    ae_title: AETitle = "CAD_NODE"
    """AE title under which the node is called and calls."""
    data_dir: Path = Path("cad_node_data")
    """Folder of the received instances, the results and the embedded database."""
    timezone_offset: Annotated[str, StringConstraints(pattern=r"^[+-]\d{4}$")] = "+0000"
    """Timezone Offset From UTC (0008,0201) of results whose source names none; their times are given in it."""


class Database(_Section):
    url: str = ""
    """SQLAlchemy URL, for instance postgresql://user:password@host/cad_node. Empty: SQLite in `node.data_dir`."""


class _Tls(_Section):
    profile: Literal["bcp195", "bcp195-modified", "bcp195-nd", "bcp195-extended"] = "bcp195"
    """Cipher suites by PS3.15: bcp195 (B.12), bcp195-modified (B.13), and the retired bcp195-nd (B.10, non-downgrading) and bcp195-extended
    (B.11, TLS 1.2 only)."""
    versions: Annotated[tuple[Literal["1.2", "1.3"], ...], Field(min_length=1)] = ("1.2", "1.3")
    """TLS versions that are spoken; there are no others."""
    authorities: Path | None = None
    """PEM file of the authorities whose certificates are taken from peers."""
    revocations: Path | None = None
    """PEM file with the authority's revocation list. With it, a certificate is only taken where a list in force doesn't name it."""

    @model_validator(mode="after")
    def _has_a_version(self) -> Self:
        if self.profile == "bcp195-extended" and "1.2" not in self.versions:
            raise ValueError("the profile bcp195-extended is for TLS 1.2, which `versions` leaves out")
        return self


class ListenerTls(_Tls):
    port: Port = 2762  # dicom-tls, PS3.15 B.12
    """TCP port of the TLS listener, on `scp.host`; 0 takes a free one."""
    certificate: Path
    """PEM file with the listener's certificate, and after it those between it and the authority. Read again when it changes."""
    key: Path
    """PEM file with its private key, not encrypted. Read again when it changes."""
    client_certificates: Literal["required", "optional", "none"] = "required"
    """Whether a peer must show a certificate that `authorities` signed, is believed if it does, or isn't asked."""
    handshake_timeout_s: Annotated[float, Field(gt=0)] = 10
    """A connection that hasn't agreed on TLS for so long is closed."""

    @model_validator(mode="after")
    def _knows_authorities(self) -> Self:
        if self.client_certificates != "none" and self.authorities is None:
            raise ValueError('name `authorities` to check client certificates by, or set client_certificates = "none"')
        return self


class PeerTls(_Tls):
    verify_host: bool = True
    """Whether the peer's certificate must be for `host`. The certificate itself is always checked: by `authorities`, or the system's."""
    certificate: Path | None = None
    """PEM file with our certificate, for a peer that asks for one. Read again when it changes."""
    key: Path | None = None
    """PEM file with its private key, not encrypted. Read again when it changes."""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` go together: set both or none")
        return self


ServiceName = Literal["store", "query", "move", "commit", "mpps"]


class Scp(_Section):
    host: str = "0.0.0.0"  # noqa: S104 - a DICOM listener serves the hospital's network
    """Address to listen on."""
    port: Port = 11112
    """TCP port to listen on; 0 takes a free one."""
    plain: bool = True
    """Whether `port` is open, for associations without TLS."""
    tls: ListenerTls | None = None
    """A second listener, for associations over TLS."""
    max_associations: int = Field(default=32, ge=1)
    """Associations served at once; one more is rejected (transient)."""
    max_associations_per_peer: int = Field(default=32, ge=1)
    """Associations served at once for one [peers.NAME], or one address that none describes; one more is rejected (transient)."""
    max_connections: int = Field(default=1000, ge=1)
    """Connections at once, with an association or without one yet; one more is closed."""
    called_ae_title: Literal["any", "ours"] = "any"
    """Whether an association must call this node by `node.ae_title`."""
    addresses: tuple[IPvAnyNetwork, ...] = ()
    """Address ranges that may associate, such as 10.1.0.0/16. Empty: all."""
    unknown_peers: Literal["accept", "store-only", "reject"] = "store-only"
    """What a peer may that no [peers.NAME] describes: all, store with what goes with it (store, commit, mpps), or nothing.
    C-ECHO is answered wherever an association is accepted."""
    acse_timeout_s: Annotated[float, Field(gt=0)] = 30
    """A connection that hasn't asked for an association for so long is closed (ARTIM, PS3.8 9.1.5)."""
    network_timeout_s: Seconds = 60
    """An association without traffic for so long is aborted."""
    fsync: bool = True
    """Whether an instance survives a power cut once it is acknowledged. Without it, it survives the process' death alone."""
    min_free_mb: int = Field(default=512, ge=0)
    """Below this much free space associations that ask to store are rejected (transient), and instances refused with 0xA700."""

    @model_validator(mode="after")
    def _listens(self) -> Self:
        if not self.plain and self.tls is None:
            raise ValueError("nothing would listen: set `plain` or [scp.tls]")
        return self


class Peer(_Section):
    ae_title: AETitle | None = None
    """Its calling AE title. Who calls by it must fit the keys below as well, or is rejected. Empty: whoever fits them."""
    addresses: tuple[IPvAnyNetwork, ...] = ()
    """Address ranges it calls from. Empty: any."""
    certificate: tuple[str, ...] = ()
    """Names of which its certificate bears one, Common Name or Subject Alternative Name; * stands for anything. Empty: it needs none."""
    may: tuple[ServiceName, ...] = ("store", "commit", "mpps")
    """What it may ask for: store, query (C-FIND), move (C-MOVE, C-GET), commit, mpps."""
    max_associations: int | None = Field(default=None, ge=1)
    """Associations served at once for it; empty: `scp.max_associations_per_peer`."""

    @model_validator(mode="after")
    def _is_described(self) -> Self:
        if not (self.ae_title or self.addresses or self.certificate):
            raise ValueError("describes nobody: set ae_title, addresses or certificate")
        return self


class Completeness(_Section):
    quiet_s: Seconds = 60
    """A series, and a study, is complete when nothing of it has arrived for so long, whatever else is known."""
    association_end_s: Seconds = 5
    """Or so long after the association that brought its last instance has ended, unless slices are missing in between, or more was
    announced by a modality's performed procedure step or by the count of the sender's PACS."""
    count_s: Seconds = 2
    """Or when the sender's PACS counts as many instances as have arrived, if one of `sources` has the AE title it sends with. It is asked
    when nothing has arrived for so long, since one that is still receiving itself counts as many as it has sent."""
    count_again_s: Annotated[float, Field(gt=0)] = 15
    """How long after its last answer, or silence, that PACS is asked again."""


class Models(_Section):
    dir: Path = Field(default_factory=lambda: shipped("models"))
    """Folder of model folders: <name>/<version>/model.toml."""
    enabled: tuple[str, ...] = ()
    """Models to run, as name or name/version. Empty: the newest version of each."""


class Worker(_Section):
    devices: tuple[str, ...] = ("cpu",)
    """One worker process for each: cpu, cuda:0, cuda:1, tensorrt:0, openvino."""
    threads: int = Field(default=0, ge=0)
    """Threads for inference on a CPU; 0 leaves it to ONNX Runtime."""
    precision: Literal["fp32", "fp16"] = "fp32"
    """fp16 runs the 16-bit graphs of the models that have them: about twice as fast on a GPU, no gain on a CPU."""

    @field_validator("devices")
    @classmethod
    def _each_once(cls, devices: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(devices)) < len(devices):
            raise ValueError("names a device twice; each has one worker")
        return devices


class Queue(_Section):
    lease_s: Annotated[float, Field(gt=0)] = 60
    """A row whose process hasn't said it is alive for so long is given to another."""
    poll_s: Annotated[float, Field(gt=0)] = 1
    """How often the processes look for work."""
    max_attempts: int = Field(default=5, ge=1)
    """A job that failed so often isn't tried again by itself."""
    max_crashes: int = Field(default=2, ge=1)
    """A job that has killed its worker so often is quarantined."""
    backoff_first_s: Annotated[float, Field(gt=0)] = 10
    """Wait after a job's first failure; it doubles."""
    backoff_longest_s: Annotated[float, Field(gt=0)] = 600
    """Longest wait between two attempts of a job."""


class Sender(_Section):
    backoff_first_s: Annotated[float, Field(gt=0)] = 10
    """Wait after a delivery's first failure; it doubles."""
    backoff_longest_s: Annotated[float, Field(gt=0)] = 4 * 3600
    """Longest wait between two attempts of a delivery; an unreachable PACS is tried for ever."""
    timeout_s: Annotated[float, Field(gt=0)] = 30
    """Connection, ACSE and DIMSE timeout as SCU."""


class _Peer(_Section):
    ae_title: AETitle
    """Called AE title of the PACS."""
    host: str
    """Its address."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """Its TCP port."""
    calling_ae_title: AETitle | None = None
    """Calling AE title, where it isn't node.ae_title."""
    tls: PeerTls | None = None
    """TLS to this PACS; without it, the connection is plain."""


class Destination(_Peer):
    objects: tuple[ObjectName | RefusalName, ...] = ("seg", "sr")
    """Which objects it gets: seg, sr, refusal. The last is a short report for each model that can't take a study; it says why."""
    confirm: Literal["none", "commitment", "find", "qido"] = "none"
    """How it proves that it keeps what it took: storage commitment, C-FIND, QIDO-RS, or not at all. A delivery is committed only after the
    proof."""
    confirm_ae_title: AETitle | None = None
    """Called AE title for storage commitment and C-FIND, where it isn't ae_title."""
    confirm_host: str | None = None
    """Address for them, where it isn't host."""
    confirm_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """TCP port for them, where it isn't port."""
    qido_url: Annotated[str, StringConstraints(pattern=r"^(https?://.*)?$")] = ""
    """Its DICOMweb service, such as https://pacs.example/dicom-web, for confirm = "qido"."""
    confirm_timeout_s: Annotated[float, Field(gt=0)] = 3600
    """Storage commitment: asked again when no report has come for so long. C-FIND, QIDO-RS: what isn't found for so long is missing."""
    confirm_resends: int = Field(default=3, ge=0)
    """How often an object that it doesn't keep is sent again before the delivery fails."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.confirm == "qido" and not self.qido_url:
            raise ValueError('confirm = "qido" needs qido_url')
        return self

    @property
    def confirming(self) -> Self:
        """The peer that is asked for storage commitment, or by C-FIND."""
        asked = {"ae_title": self.confirm_ae_title, "host": self.confirm_host, "port": self.confirm_port}
        return self.model_copy(update={key: value for key, value in asked.items() if value is not None})


class Source(_Peer):
    retrieve: Literal["move", "get"] = "move"
    """How instances are fetched. move: the PACS sends them to this node's listener and must know node.ae_title; get: they come on our own
    association."""
    response_timeout_s: Annotated[float, Field(gt=0)] = 600
    """Longest wait for the next response to a query or a retrieve; a PACS may send none before the last instance has gone."""


class Retention(_Section):
    inputs_days: Annotated[float, Field(ge=0)] = 30
    """Received instances are removed so long after their study's last one came; 0 keeps them. Never before the study's jobs have ended and
    their results have been delivered."""
    results_days: Annotated[float, Field(ge=0)] = 90
    """Results are removed so long after they were made; 0 keeps them. Never before they have been delivered, nor where no destination was
    to get them."""
    free_below_mb: Annotated[int, Field(ge=0)] = 2048
    """With less free space than this the oldest of them are removed before their days are over; 0 never does so."""
    free_until_mb: Annotated[int, Field(ge=0)] = 4096
    """Until this much is free."""
    every_s: Annotated[float, Field(gt=0)] = 60
    """How often the sending process looks for what can go."""

    @model_validator(mode="after")
    def _upper_mark_is_above(self) -> Self:
        if self.free_until_mb < self.free_below_mb:
            raise ValueError("free_until_mb is below free_below_mb")
        return self


class Commitment(_Section):
    report_for_s: Annotated[float, Field(gt=0)] = 7 * 24 * 3600
    """A peer that asked for storage commitment and can't be told the answer for so long is given up. The waits between two attempts are
    those of [sender]."""


class Collector(_Section):
    host: str
    """Where the syslog collector is."""
    transport: Literal["tls", "udp"] = "tls"
    """tls (RFC 5425), or udp (RFC 5426), which nobody acknowledges."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Its port; empty: 6514 for TLS, 514 for UDP."""
    tls: PeerTls = PeerTls()
    """TLS to the collector."""


class Audit(_Section):
    associations: bool = True
    """Whether associations that were accepted are told too; refused ones always are."""
    fsync: bool = True
    """Whether a record is on the disk before the node goes on; else the kernel writes it within seconds, which a loss of power can undo."""
    max_file_mb: Annotated[float, Field(gt=0)] = 64
    """The log goes on in a new file from this size. Old files are never removed: put them away together, oldest first, once forwarded."""
    source_id: str = ""
    """Audit Source ID of the messages. Empty: node.ae_title@host name."""
    enterprise_site_id: str = ""
    """Audit Enterprise Site ID, where the site has one."""
    collector: Collector | None = None
    """Where the messages are sent besides the log."""


class Log(_Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe event to print."""
    json_lines: bool = False
    """One JSON object a line instead of text."""


class Settings(BaseSettings):
    """Everything that can be configured."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="CAD_NODE_", env_nested_delimiter="__")

    node: Node = Node()
    database: Database = Database()
    scp: Scp = Scp()
    peers: dict[PeerName, Peer] = Field(default_factory=dict)
    completeness: Completeness = Completeness()
    models: Models = Field(default_factory=Models)
    worker: Worker = Worker()
    queue: Queue = Queue()
    sender: Sender = Sender()
    destinations: dict[PeerName, Destination] = Field(default_factory=dict)
    sources: dict[PeerName, Source] = Field(default_factory=dict)
    commitment: Commitment = Commitment()
    retention: Retention = Retention()
    audit: Audit = Audit()
    log: Log = Log()

    @model_validator(mode="after")
    def _space_is_made_before_instances_are_refused(self) -> Self:
        if 0 < self.retention.free_below_mb <= self.scp.min_free_mb:
            raise ValueError("retention.free_below_mb must be above scp.min_free_mb, or 0: nothing would be removed before all is refused")
        return self

    @property
    def timezone(self) -> tzinfo:
        """`node.timezone_offset` as a time zone."""
        parsed = datetime.strptime(self.node.timezone_offset, "%z").tzinfo
        assert parsed is not None
        return parsed

    @property
    def database_url(self) -> str:
        return self.database.url or f"sqlite:///{(self.node.data_dir / 'cad_node.db').resolve()}"

    def every_tls(self) -> list[ListenerTls | PeerTls]:
        """The settings of TLS, wherever it is used."""
        used = [self.scp.tls, *(to.tls for to in self.destinations.values()), *(source.tls for source in self.sources.values())]
        if self.audit.collector and self.audit.collector.transport == "tls":
            used.append(self.audit.collector.tls)
        return [tls for tls in used if tls]

    @property
    def spool_dir(self) -> Path:
        return self.node.data_dir / "spool"

    @property
    def results_dir(self) -> Path:
        return self.node.data_dir / "results"

    @property
    def audit_dir(self) -> Path:
        return self.node.data_dir / "audit"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings  # a variable outranks the file


_OUTSIDE_SETTINGS = frozenset(
    {"CAD_NODE_CONFIG", "CAD_NODE_DATA", "CAD_NODE_TEST_POSTGRESQL"}
)  # the file itself; the tests' data and server


def read_settings(file: Path | None = None) -> Settings:
    """Settings from `file` (TOML) and the environment; the environment wins.

    Raises SettingsError naming the key that is unknown or has a wrong value.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")) if file else {}
    except OSError as exc:
        raise SettingsError(f"{file}: {exc.strerror}; name an existing TOML file with --config") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{file}: not readable as TOML: {exc}") from exc
    _refuse_unknown_variables()
    try:
        return Settings(**table)
    except ValidationError as exc:
        listed = "; ".join(f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in exc.errors())
        raise SettingsError(f"{file or 'environment'}: {listed}. docs/configuration.md lists every key") from exc


def _refuse_unknown_variables() -> None:
    for name in os.environ:
        if not name.startswith("CAD_NODE_") or name in _OUTSIDE_SETTINGS:
            continue
        section = name.removeprefix("CAD_NODE_").split("__")[0].lower()
        if section not in Settings.model_fields:
            sections = ", ".join(Settings.model_fields)
            raise SettingsError(f"{name}: no setting has this name; write CAD_NODE_<SECTION>__<KEY>, sections are {sections}")
