"""The tables. No column holds a patient's name, ID or birth date."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    desc,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from cad_node.lifecycle import CommitmentState, DeliveryState, JobState, StepState, StudyState


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime; SQLite keeps no time zone, so UTC goes in and UTC comes out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime: times come in with their zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the base class names it
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map: ClassVar[Mapping[Any, Any]] = {datetime: UtcDateTime}


def _state(states: type[StrEnum]) -> Enum:
    return Enum(states, native_enum=False, length=16, values_callable=lambda members: [member.value for member in members])


def _index_where(name: str, column: str, where: str) -> Index:
    """An index of the rows that a condition is true of."""
    return Index(name, column, sqlite_where=text(where), postgresql_where=text(where))


_Uid = String(64)  # PS3.5 9.1
_Key = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself only in an INTEGER key


class NodeRow(Base):
    """One row: who this node is."""

    __tablename__ = "node"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    uid: Mapped[uuid.UUID]


class StudyRow(Base):
    __tablename__ = "studies"
    __table_args__ = (
        Index(None, "state"),
        Index(None, "received_at"),
        _index_where("ix_studies_removable", "last_instance_at", where="removed_at IS NULL"),  # the oldest whose instances are there
    )

    study_instance_uid: Mapped[str] = mapped_column(_Uid, primary_key=True)
    revision: Mapped[int]  # 0 until the first image
    state: Mapped[StudyState] = mapped_column(_state(StudyState))
    received_at: Mapped[datetime]
    last_instance_at: Mapped[datetime]  # grows with every image, so that it also tells two sets of images apart
    settled_at: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]  # its instances are gone: no rows, no files; until the next one comes
    removed_revision: Mapped[int] = mapped_column(server_default="0")  # the images of this revision and of those before it are gone


class SeriesRow(Base):
    __tablename__ = "series"

    study_instance_uid: Mapped[str] = mapped_column(_Uid, ForeignKey("studies.study_instance_uid"), primary_key=True)
    series_instance_uid: Mapped[str] = mapped_column(_Uid, primary_key=True)
    modality: Mapped[str] = mapped_column(Text)  # as it came, however long
    last_instance_at: Mapped[datetime | None]  # of the study, when the last image came; none: it holds only results
    association_ended_at: Mapped[datetime | None]  # of an association that ended after the last image
    calling_ae_title: Mapped[str | None] = mapped_column(String(16))  # that sent the last image


class InstanceRow(Base):
    __tablename__ = "instances"
    __table_args__ = (
        ForeignKeyConstraint(["study_instance_uid", "series_instance_uid"], ["series.study_instance_uid", "series.series_instance_uid"]),
        Index(None, "study_instance_uid", "series_instance_uid"),
    )

    sop_instance_uid: Mapped[str] = mapped_column(_Uid, primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(_Uid)
    series_instance_uid: Mapped[str] = mapped_column(_Uid)
    sop_class_uid: Mapped[str] = mapped_column(_Uid)
    transfer_syntax_uid: Mapped[str] = mapped_column(_Uid)
    revision: Mapped[int]  # of the study, when this instance came
    path: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(80))  # see store.digest
    header: Mapped[dict[str, Any]] = mapped_column(JSON)  # study.HEADER_KEYWORDS -> JSON value
    is_result: Mapped[bool]  # made by a CAD system: kept, but never input
    received_at: Mapped[datetime]


class ConflictRow(Base):
    """A file whose SOP Instance UID another content had before."""

    __tablename__ = "conflicts"
    __table_args__ = (UniqueConstraint("sop_instance_uid", "digest"), Index(None, "study_instance_uid"))

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(_Uid)
    series_instance_uid: Mapped[str] = mapped_column(_Uid)
    sop_instance_uid: Mapped[str] = mapped_column(_Uid)
    path: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(80))
    received_at: Mapped[datetime]


class JobRow(Base):
    """One model on one revision of a study; while it runs, a lease with a fence."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("study_instance_uid", "revision", "model_name", "model_version"),
        Index("ix_jobs_claim", "state", desc("priority"), "id"),
        Index(None, "state", "id"),  # the newest of a state
    )

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    uid: Mapped[uuid.UUID] = mapped_column(unique=True)  # every UID in its results comes from it
    study_instance_uid: Mapped[str] = mapped_column(_Uid, ForeignKey("studies.study_instance_uid"))
    revision: Mapped[int]
    series_instance_uid: Mapped[str | None] = mapped_column(_Uid)
    evidence: Mapped[str | None] = mapped_column(String(32))  # that what it needs has come
    model_name: Mapped[str] = mapped_column(String(64))
    model_version: Mapped[str] = mapped_column(String(64))
    priority: Mapped[int]
    state: Mapped[JobState] = mapped_column(_state(JobState))
    reason_code: Mapped[str] = mapped_column(String(64), default="")
    reason: Mapped[str] = mapped_column(Text, default="")
    attempt: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)  # grows whenever the row gets or loses an owner
    worker: Mapped[str | None] = mapped_column(String(255))
    lease_until: Mapped[datetime | None]
    run_after: Mapped[datetime]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]  # the first claim since an admin's retry, so that a repeated run writes the same times
    finished_at: Mapped[datetime | None]
    timings_s: Mapped[dict[str, float]] = mapped_column(JSON, default=dict)  # stage -> seconds inside the worker
    superseded_by: Mapped[int | None] = mapped_column(_Key)  # the job that takes its results' place, once that has begun to


class ResultRow(Base):
    """One DICOM object that a job made."""

    __tablename__ = "results"
    __table_args__ = (
        UniqueConstraint("job_id", "builder", "edition", "number"),
        _index_where("ix_results_removable", "created_at", where="removed_at IS NULL"),
    )

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    job_id: Mapped[int] = mapped_column(_Key, ForeignKey("jobs.id"))
    builder: Mapped[str] = mapped_column(String(64))
    edition: Mapped[str] = mapped_column(String(255), default="", server_default=text("''"))  # objects.Profile.edition
    number: Mapped[int] = mapped_column(default=1, server_default="1")  # among those that the builder made
    fault: Mapped[str] = mapped_column(Text, default="", server_default=text("''"))  # why it didn't pass the checks; empty: it did
    sop_class_uid: Mapped[str] = mapped_column(_Uid)
    sop_instance_uid: Mapped[str] = mapped_column(_Uid, unique=True)
    series_instance_uid: Mapped[str] = mapped_column(_Uid)
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]  # its file is gone; what it was stays known, so that it isn't taken for input if it comes back


class DeliveryRow(Base):
    """One result for one destination; while it is sent, a lease with a fence."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("result_id", "destination"),
        Index("ix_deliveries_claim", "state", "destination", "id"),
        Index(None, "state", "id"),  # the newest of a state
        Index(None, "job_id"),
    )

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    result_id: Mapped[int] = mapped_column(_Key, ForeignKey("results.id"))
    job_id: Mapped[int] = mapped_column(_Key, ForeignKey("jobs.id"))
    destination: Mapped[str] = mapped_column(String(32))
    state: Mapped[DeliveryState] = mapped_column(_state(DeliveryState))
    reason: Mapped[str] = mapped_column(Text, default="")
    attempt: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    sender: Mapped[str | None] = mapped_column(String(255))
    lease_until: Mapped[datetime | None]
    run_after: Mapped[datetime]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    asks: Mapped[int] = mapped_column(default=0, server_default="0")  # since it was delivered: whether the destination keeps it
    resends: Mapped[int] = mapped_column(default=0, server_default="0")  # because the destination didn't keep it
    committed_at: Mapped[datetime | None]


class JobEventRow(Base):
    """One move of a job or of one of its deliveries."""

    __tablename__ = "job_events"
    __table_args__ = (Index(None, "job_id", "id"), Index(None, "delivery_id"))

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    job_id: Mapped[int] = mapped_column(_Key, ForeignKey("jobs.id"))
    delivery_id: Mapped[int | None] = mapped_column(_Key, ForeignKey("deliveries.id"))
    at: Mapped[datetime]
    event: Mapped[str] = mapped_column(String(16))
    from_state: Mapped[str] = mapped_column(String(16))
    to_state: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str] = mapped_column(String(255))
    detail: Mapped[str] = mapped_column(Text)


class FileToRemoveRow(Base):
    """A file that no row names any more; the row goes once the file has gone."""

    __tablename__ = "files_to_remove"

    path: Mapped[str] = mapped_column(Text, primary_key=True)
    asked_at: Mapped[datetime]


class ConfirmationRequestRow(Base):
    """One delivery that a destination was asked about: a late answer to any of the questions counts."""

    __tablename__ = "confirmation_requests"

    transaction_uid: Mapped[str] = mapped_column(_Uid, primary_key=True)
    delivery_id: Mapped[int] = mapped_column(_Key, ForeignKey("deliveries.id"), primary_key=True)
    asked_at: Mapped[datetime]


class CommitmentRequestRow(Base):
    """What a peer asks this node to commit itself to, until the peer knows the answer."""

    __tablename__ = "commitment_requests"
    __table_args__ = (UniqueConstraint("calling_ae_title", "transaction_uid"), Index(None, "state", "run_after"))

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    transaction_uid: Mapped[str] = mapped_column(_Uid)
    state: Mapped[CommitmentState] = mapped_column(_state(CommitmentState))
    reason: Mapped[str] = mapped_column(Text, default="")
    attempt: Mapped[int] = mapped_column(default=0)
    run_after: Mapped[datetime]  # while a process works on it, the end of its lease
    requested_at: Mapped[datetime]
    reported_at: Mapped[datetime | None]


class CommitmentInstanceRow(Base):
    """One instance of a request."""

    __tablename__ = "commitment_instances"

    request_id: Mapped[int] = mapped_column(_Key, ForeignKey("commitment_requests.id"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(_Uid, primary_key=True)
    sop_class_uid: Mapped[str] = mapped_column(_Uid, primary_key=True)


class PerformedStepRow(Base):
    """What a modality says of one step of an examination, PS3.4 F.7."""

    __tablename__ = "performed_steps"

    sop_instance_uid: Mapped[str] = mapped_column(_Uid, primary_key=True)
    state: Mapped[StepState] = mapped_column(_state(StepState))
    images: Mapped[dict[str, list[str]]] = mapped_column(JSON)  # Series Instance UID -> SOP Instance UIDs
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class PerformedStepStudyRow(Base):
    """A study that a step belongs to, whether or not anything of it has arrived."""

    __tablename__ = "performed_step_studies"

    study_instance_uid: Mapped[str] = mapped_column(_Uid, primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(_Uid, ForeignKey("performed_steps.sop_instance_uid"), primary_key=True)
