"""One TOML file and CAD_NODE_* variables -> frozen settings; every key is checked at start, unknown keys are refused."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from cad_node.errors import SettingsError
from cad_node.settings.audit import Audit
from cad_node.settings.destinations import AnyDestination, AskedDestination, Destination
from cad_node.settings.listener import Completeness, Peer, Scp
from cad_node.settings.node import Commitment, Database, Log, Models, Node, Queue, Retention, Sender, Worker
from cad_node.settings.peer import Source
from cad_node.settings.section import PeerName
from cad_node.settings.tls import ListenerTls, PeerTls

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


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
    destinations: dict[PeerName, AnyDestination] = Field(default_factory=dict)
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

    @property
    def dicom_destinations(self) -> Mapping[str, Destination]:
        """Those that are reached by associations."""
        return {name: to for name, to in self.destinations.items() if isinstance(to, Destination)}

    @property
    def asked_destinations(self) -> Mapping[str, AskedDestination]:
        """Those that can prove that they keep what they took."""
        return {name: to for name, to in self.destinations.items() if isinstance(to, AskedDestination)}

    def every_tls(self) -> list[ListenerTls | PeerTls]:
        """The settings of TLS, wherever it is used."""
        used = [self.scp.tls, *(to.tls for to in self.asked_destinations.values()), *(source.tls for source in self.sources.values())]
        used += [to.oauth2.tls for to in self.asked_destinations.values() if to.oauth2]
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
        listed = "; ".join(f"{_key(error['loc'])}: {_what(error)}" for error in exc.errors())
        raise SettingsError(f"{file or 'environment'}: {listed}. docs/configuration.md lists every key") from exc


def _key(where: Sequence[int | str]) -> str:
    """The key as it is written: pydantic puts a destination's transport behind its name."""
    written = [*where[:2], *where[3:]] if where[:1] == ("destinations",) else where
    return ".".join(str(part) for part in written)


def _what(error: "ErrorDetails") -> str:
    """What is wrong, in words of the settings: pydantic's are for programmers."""
    if error["type"] == "extra_forbidden":
        return "there is no such key"
    if error["type"] == "missing":
        return "must be set"
    return error["msg"].removeprefix("Value error, ")


def _refuse_unknown_variables() -> None:
    for name in os.environ:
        if not name.startswith("CAD_NODE_") or name in _OUTSIDE_SETTINGS:
            continue
        section = name.removeprefix("CAD_NODE_").split("__")[0].lower()
        if section not in Settings.model_fields:
            sections = ", ".join(Settings.model_fields)
            raise SettingsError(f"{name}: no setting has this name; write CAD_NODE_<SECTION>__<KEY>, sections are {sections}")
