"""The rows of what has arrived: instances, their series and studies, and contents that came under a UID which is taken."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cad_node.lifecycle import STUDY_MOVES, StudyState, move
from cad_node.store.database import insert_absent, insert_if_absent
from cad_node.store.digest import kind_of
from cad_node.store.study_values import Indexed, ReceivedInstance
from cad_node.store.tables import ConflictRow, InstanceRow, SeriesRow, StudyRow

_INSTANT = timedelta(microseconds=1)  # what databases tell apart


def add_arrivals(session: Session, batch: Sequence[ReceivedInstance], now: datetime) -> Indexed:
    """Add the rows of placed files; new images move their studies, and contents whose UID another has are flagged."""
    new, conflicts = [], []
    by_study = sorted(batch, key=lambda received: received.study_instance_uid)  # one order: transactions can't wait for each other
    for uid, of_study in groupby(by_study, key=lambda received: received.study_instance_uid):
        added, others = _add_instances(session, uid, list(of_study), now)
        new += added
        conflicts += _conflicts(session, others)
    for received in conflicts:
        _add_conflict(session, received, now)
    return Indexed(new, conflicts)


def lock_study(session: Session, study_instance_uid: str) -> StudyRow | None:
    """The study's row, nobody else's until the transaction ends."""
    return session.scalar(select(StudyRow).where(StudyRow.study_instance_uid == study_instance_uid).with_for_update())


def _held(session: Session, batch: Sequence[ReceivedInstance]) -> dict[str, tuple[str, str]]:
    """SOP Instance UID -> path and digest of the content that has it."""
    columns = (InstanceRow.sop_instance_uid, InstanceRow.path, InstanceRow.digest)
    uids = {received.sop_instance_uid for received in batch}
    rows = session.execute(select(*columns).where(InstanceRow.sop_instance_uid.in_(uids))).all() if uids else []
    return {uid: (path, digest) for uid, path, digest in rows}


def _conflicts(session: Session, batch: Sequence[ReceivedInstance]) -> list[ReceivedInstance]:
    """Those whose UID another content has.

    Digests of two kinds can't be compared: there, what lies at one place is the same, and its row gets the newer kind.
    """
    held, conflicts = _held(session, batch), []
    for received in batch:
        path, digest = held[received.sop_instance_uid]
        if kind_of(digest) == kind_of(received.digest):
            is_same = digest == received.digest
        elif is_same := path == str(received.path):
            of_it = InstanceRow.sop_instance_uid == received.sop_instance_uid
            session.execute(update(InstanceRow).where(of_it).values(digest=received.digest))
        if not is_same:
            conflicts.append(received)
    return conflicts


def _add_instances(
    session: Session, study_instance_uid: str, batch: Sequence[ReceivedInstance], now: datetime
) -> tuple[list[ReceivedInstance], list[ReceivedInstance]]:
    """Add the rows of a study; those that are new, and those whose UID is taken. New images move the study."""
    study = lock_study(session, study_instance_uid) or _add_study(session, study_instance_uid, now)
    first = {received.sop_instance_uid: received for received in reversed(batch)}
    held = _held(session, batch)
    wanted = [received for uid, received in first.items() if uid not in held]
    moved = move(STUDY_MOVES, study.state, "instance")
    late = moved is not study.state
    added = _add_rows(session, wanted, study.revision, study.revision + late, now)
    new = [received for received in wanted if received.sop_instance_uid in added]
    if new:
        study.removed_at = None  # what was removed before stays gone, and this is there
    if images := [received for received in new if not received.is_result]:
        study.state, study.revision = moved, study.revision + late
        study.last_instance_at = max(now, study.last_instance_at + _INSTANT)
        _note_arrivals(session, study, images)
    is_new = {id(received) for received in new}
    return new, [received for received in batch if id(received) not in is_new]


def _add_study(session: Session, study_instance_uid: str, now: datetime) -> StudyRow:
    """A study of revision 0, complete with nothing in it: its first image is then a move like any other."""
    values = {
        "study_instance_uid": study_instance_uid,
        "revision": 0,
        "state": StudyState.COMPLETE,
        "received_at": now,
        "last_instance_at": now - _INSTANT,
    }
    insert_if_absent(session, StudyRow, values)
    return session.scalars(select(StudyRow).where(StudyRow.study_instance_uid == study_instance_uid).with_for_update()).one()


def _add_rows(session: Session, batch: Sequence[ReceivedInstance], revision: int, image_revision: int, now: datetime) -> set[str]:
    """Insert what isn't there; the SOP Instance UIDs that were inserted. image_revision: of a row that is no result."""
    if not batch:
        return set()
    series = {
        received.series_instance_uid: {
            "study_instance_uid": received.study_instance_uid,
            "series_instance_uid": received.series_instance_uid,
            "modality": received.modality,
        }
        for received in reversed(batch)
    }
    for values in series.values():
        insert_if_absent(session, SeriesRow, values)
    instances = [
        {
            "sop_instance_uid": received.sop_instance_uid,
            "study_instance_uid": received.study_instance_uid,
            "series_instance_uid": received.series_instance_uid,
            "sop_class_uid": received.sop_class_uid,
            "transfer_syntax_uid": received.transfer_syntax_uid,
            "revision": revision if received.is_result else image_revision,
            "path": str(received.path),
            "digest": received.digest,
            "header": dict(received.header),
            "is_result": received.is_result,
            "received_at": now,
        }
        for received in batch
    ]
    return insert_absent(session, InstanceRow, instances, InstanceRow.sop_instance_uid)


def _note_arrivals(session: Session, study: StudyRow, images: Sequence[ReceivedInstance]) -> None:
    """Their series aren't known to be whole any more."""
    senders = {received.series_instance_uid: received.calling_ae_title for received in images}
    for uid, calling_ae_title in senders.items():
        values = {"last_instance_at": study.last_instance_at, "association_ended_at": None, "calling_ae_title": calling_ae_title}
        of_series = SeriesRow.study_instance_uid == study.study_instance_uid, SeriesRow.series_instance_uid == uid
        session.execute(update(SeriesRow).where(*of_series).values(values))


def _add_conflict(session: Session, received: ReceivedInstance, now: datetime) -> None:
    values = {
        "study_instance_uid": received.study_instance_uid,
        "series_instance_uid": received.series_instance_uid,
        "sop_instance_uid": received.sop_instance_uid,
        "path": str(received.path),
        "digest": received.digest,
        "received_at": now,
    }
    insert_if_absent(session, ConflictRow, values)
