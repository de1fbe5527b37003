"""What has arrived: instances indexed, studies settled into jobs, and read again as values."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from cad_node.errors import CadNodeError, Removed, UnknownRow
from cad_node.lifecycle import STUDY_MOVES, move
from cad_node.store.arrivals import add_arrivals, lock_study
from cad_node.store.database import Database
from cad_node.store.evidence import evidence_of_unsettled
from cad_node.store.settlement import add_jobs, begun, repeat_jobs
from cad_node.store.study_values import Evidence, Indexed, NewJob, ReceivedInstance, StudySummary
from cad_node.store.tables import ConflictRow, InstanceRow, ResultRow, SeriesRow, StudyRow
from cad_node.study import Instance, Series, Study

__all__ = ["Evidence", "Indexed", "NewJob", "ReceivedInstance", "StillArriving", "Studies", "StudySummary", "UidTaken"]


class UidTaken(CadNodeError):
    """Another content has this SOP Instance UID, in whatever study; the new file is kept and flagged, but isn't part of its study."""


class StillArriving(CadNodeError):
    """The study isn't whole yet."""

    retryable = True


class Studies:
    """The index of what has arrived."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def index_all(self, batch: Sequence[ReceivedInstance], now: datetime) -> Indexed:
        """Note placed files in one transaction: a new image moves its study; one whose UID another content has is flagged and returned.

        The first content to be indexed has the UID, wherever its file lies: one that was placed by a process that died then, and
        that no start has found since, takes no UID.
        """
        with self._database.transaction() as session:
            return add_arrivals(session, batch, now)

    def is_own_result(self, sop_instance_uid: str) -> bool:
        """Whether this node made the instance."""
        with self._database.reading() as session:
            return session.scalar(select(ResultRow.id).where(ResultRow.sop_instance_uid == sop_instance_uid)) is not None

    def association_ended(self, series: Collection[tuple[str, str]], now: datetime) -> None:
        """Note that the last open association which brought instances of these series is over.

        series: (Study Instance UID, Series Instance UID) of each.
        """
        with self._database.transaction() as session:
            for study_uid, of_study in groupby(sorted(set(series)), key=itemgetter(0)):  # one order, as in index_all
                lock_study(session, study_uid)
                ended = SeriesRow.study_instance_uid == study_uid, SeriesRow.series_instance_uid.in_([uid for _, uid in of_study])
                session.execute(update(SeriesRow).where(*ended).values(association_ended_at=now))

    def receiving(self) -> list[Evidence]:
        """Every study that isn't settled."""
        with self._database.reading() as session:
            return evidence_of_unsettled(session)

    def load(self, study_instance_uid: str, revision: int | None = None) -> Study:
        """The study as it is now, or as it was in an earlier `revision`; without results. Raises UnknownRow."""
        with self._database.reading() as session:
            study = session.get(StudyRow, study_instance_uid)
            if study is None:
                raise UnknownRow(f"no study {study_instance_uid}; `cad-node studies list --json` shows every UID in full")
            asked = study.revision if revision is None else revision
            return Study(study_instance_uid, asked, _load_series(session, study_instance_uid, asked))

    def start(
        self, study_instance_uid: str, jobs: Sequence[NewJob], now: datetime, *, last_instance_at: Mapping[str, datetime]
    ) -> tuple[NewJob, ...]:
        """Make jobs of a study that isn't settled, and leave it open: the images that come after belong to its next revision.

        last_instance_at: of each job's series, as receiving() told it before `jobs` were chosen.
        Returns the jobs that were made; not those of models that have begun on the same images already, however they fared,
        nor those on a series that an image of has come since. Raises UnknownRow.
        """
        with self._database.reading() as session:  # asked again and again while other series arrive: waits for no writer
            study = session.get(StudyRow, study_instance_uid)
            if study is not None and all(begun(session, study, job) for job in jobs):
                return ()
        with self._database.transaction() as session:
            study = _locked_study(session, study_instance_uid)
            if (study.state, "start") not in STUDY_MOVES:
                return ()
            arrived = _last_instance_at(session, study_instance_uid)
            unchanged = {uid for uid, at in arrived.items() if at == last_instance_at.get(uid)}
            ready = tuple(job for job in jobs if job.series_instance_uid in unchanged and not begun(session, study, job))
            if ready:
                study.state = move(STUDY_MOVES, study.state, "start")
                add_jobs(session, study, ready, now)
            return ready

    def settle(self, study_instance_uid: str, revision: int, jobs: Sequence[NewJob], now: datetime, *, last_instance_at: datetime) -> bool:
        """Complete the study and make its jobs, in one transaction, but for those that have begun already on the same images.

        revision, last_instance_at: as receiving() told them before `jobs` were chosen.
        False, and nothing is done, if an image has come since or the study is settled already. Raises UnknownRow.
        """
        with self._database.transaction() as session:
            study = _locked_study(session, study_instance_uid)
            if (study.revision, study.last_instance_at) != (revision, last_instance_at) or (study.state, "settle") not in STUDY_MOVES:
                return False
            study.state = move(STUDY_MOVES, study.state, "settle")
            study.settled_at = now
            add_jobs(session, study, jobs, now)
            return True

    def analyse(self, study_instance_uid: str, revision: int, jobs: Sequence[NewJob], now: datetime) -> tuple[int, ...]:
        """Begin the study's next revision without a new image, and make these jobs of it, whatever was made of its images before.

        revision: that `jobs` were chosen from. Returns the jobs' numbers. Raises UnknownRow, Removed, StillArriving.
        """
        with self._database.transaction() as session:
            study = _locked_study(session, study_instance_uid)
            if study.removed_at:
                raise Removed(f"the images of study {study_instance_uid} were removed on {study.removed_at:%Y-%m-%d}; send it again")
            if not study.revision:
                raise UnknownRow(f"study {study_instance_uid} holds no image to analyse")
            if study.revision != revision or (study.state, "analyse") not in STUDY_MOVES:
                raise StillArriving(f"study {study_instance_uid} is {study.state}; wait until it is complete: its models run by themselves")
            study.state = move(STUDY_MOVES, study.state, "analyse")
            study.revision += 1
            return tuple(repeat_jobs(session, study, jobs, now))

    def list(self, limit: int = 100) -> list[StudySummary]:
        """The newest studies first."""
        columns = (
            StudyRow.study_instance_uid,
            StudyRow.state,
            StudyRow.revision,
            _count(SeriesRow.study_instance_uid),
            _count(InstanceRow.study_instance_uid),
            _count(ConflictRow.study_instance_uid),
            StudyRow.received_at,
            StudyRow.last_instance_at,
            StudyRow.removed_at,
        )
        newest = select(*columns).order_by(StudyRow.received_at.desc(), StudyRow.study_instance_uid).limit(limit)
        with self._database.reading() as session:
            return [StudySummary(*row) for row in session.execute(newest)]


def _locked_study(session: Session, study_instance_uid: str) -> StudyRow:
    study = lock_study(session, study_instance_uid)
    if study is None:
        raise UnknownRow(f"no study {study_instance_uid}; `cad-node studies list --json` shows every UID in full")
    return study


def _last_instance_at(session: Session, study_instance_uid: str) -> dict[str, datetime]:
    """By Series Instance UID."""
    of_study = SeriesRow.study_instance_uid == study_instance_uid
    return {
        row.series_instance_uid: row.last_instance_at for row in session.scalars(select(SeriesRow).where(of_study)) if row.last_instance_at
    }


def _load_series(session: Session, study_instance_uid: str, revision: int) -> tuple[Series, ...]:
    of_study = SeriesRow.study_instance_uid == study_instance_uid
    modalities = dict(session.execute(select(SeriesRow.series_instance_uid, SeriesRow.modality).where(of_study)).all())
    images = (
        select(InstanceRow)
        .where(InstanceRow.study_instance_uid == study_instance_uid, ~InstanceRow.is_result, InstanceRow.revision <= revision)
        .order_by(InstanceRow.series_instance_uid, InstanceRow.sop_instance_uid)
    )
    grouped = groupby(session.scalars(images), key=lambda row: row.series_instance_uid)
    return tuple(Series(uid, modalities[uid], tuple(_instance(row) for row in rows)) for uid, rows in grouped)


def _instance(row: InstanceRow) -> Instance:
    return Instance(row.sop_instance_uid, row.sop_class_uid, row.transfer_syntax_uid, Path(row.path), row.header)


def _count(of_study: Any) -> ColumnElement[int]:  # Any: an attribute of whichever row
    return select(func.count()).where(of_study == StudyRow.study_instance_uid).correlate(StudyRow).scalar_subquery()
