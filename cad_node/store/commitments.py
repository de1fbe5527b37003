"""What peers asked this node to commit itself to: durable before they are answered, kept until they know whether it does."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, or_, select, update
from sqlalchemy.orm import Session, aliased

from cad_node.commitment import Reference
from cad_node.errors import CadNodeError
from cad_node.lifecycle import COMMITMENT_MOVES, CommitmentState, move, sources
from cad_node.store.database import Database, insert_if_absent
from cad_node.store.tables import CommitmentInstanceRow, CommitmentRequestRow, InstanceRow

_UIDS_IN_A_STATEMENT = 500  # SQLite has a limit


class TransactionTaken(CadNodeError):
    """The peer has used this Transaction UID for other instances."""


@dataclass(frozen=True, slots=True)
class ClaimedRequest:
    id: int
    calling_ae_title: str
    transaction_uid: str
    references: tuple[Reference, ...]
    attempt: int  # counts from 1
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the index says of an instance."""

    sop_class_uid: str
    path: Path
    digest: str


class Commitments:
    """The requests, and the moves that change them. A request that is answered twice does no harm, so none of them needs a fence."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def request(
        self, calling_ae_title: str, transaction_uid: str, references: Collection[Reference], now: datetime, run_after: datetime
    ) -> int:
        """Note a request; it is durable on return, and to be answered from `run_after` on. Returns its number.

        The same request once more has its answer sent once more. Raises TransactionTaken.
        """
        values = {
            "calling_ae_title": calling_ae_title,
            "transaction_uid": transaction_uid,
            "state": CommitmentState.REQUESTED,
            "reason": "",
            "attempt": 0,
            "run_after": run_after,
            "requested_at": now,
        }
        same = (CommitmentRequestRow.calling_ae_title == calling_ae_title, CommitmentRequestRow.transaction_uid == transaction_uid)
        with self._database.transaction() as session:
            is_new = insert_if_absent(session, CommitmentRequestRow, values)
            row = session.scalars(select(CommitmentRequestRow).where(*same).with_for_update()).one()
            if is_new:
                session.execute(insert(CommitmentInstanceRow), [_instance_values(row.id, reference) for reference in references])
            elif set(_references(session, [row.id]).get(row.id, ())) != set(references):
                raise TransactionTaken(f"Transaction UID {transaction_uid} was used for other instances; ask with a new one")
            else:
                row.state = move(COMMITMENT_MOVES, row.state, "request")
                row.run_after, row.requested_at, row.attempt = run_after, now, 0
            return row.id

    def claim(self, now: datetime, lease_s: float, limit: int, before_time: Collection[int] = ()) -> list[ClaimedRequest]:
        """Take up to `limit` requests that are due, oldest first; those in `before_time` are due already.

        After `lease_s` whoever took them must have died, and another may.
        """
        asked = aliased(CommitmentRequestRow)
        oldest = (
            select(asked.id)
            .where(asked.state.in_(sources(COMMITMENT_MOVES, "report")), or_(asked.run_after <= now, asked.id.in_(before_time)))
            .order_by(asked.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        values = {"run_after": now + timedelta(seconds=lease_s), "attempt": CommitmentRequestRow.attempt + 1}
        taken = update(CommitmentRequestRow).where(CommitmentRequestRow.id.in_(select(oldest.c.id))).values(values)
        with self._database.transaction() as session:
            ids = session.scalars(taken.returning(CommitmentRequestRow.id)).all()
            references = _references(session, ids)
            rows = session.scalars(select(CommitmentRequestRow).where(CommitmentRequestRow.id.in_(ids)).order_by(CommitmentRequestRow.id))
            return [
                ClaimedRequest(row.id, row.calling_ae_title, row.transaction_uid, references[row.id], row.attempt, row.requested_at)
                for row in rows
            ]

    def indexed(self, sop_instance_uids: Sequence[str]) -> Mapping[str, Indexed]:
        """What the index knows of these instances."""
        found: dict[str, Indexed] = {}
        columns = (InstanceRow.sop_instance_uid, InstanceRow.sop_class_uid, InstanceRow.path, InstanceRow.digest)
        with self._database.reading() as session:
            for start in range(0, len(sop_instance_uids), _UIDS_IN_A_STATEMENT):
                some = sop_instance_uids[start : start + _UIDS_IN_A_STATEMENT]
                for uid, sop_class_uid, path, digest in session.execute(select(*columns).where(InstanceRow.sop_instance_uid.in_(some))):
                    found[uid] = Indexed(sop_class_uid, Path(path), digest)
        return found

    def release(self, request_id: int, run_after: datetime) -> None:
        """It can't be answered yet; that was no attempt."""
        self._move(request_id, "release", run_after=run_after, attempt=CommitmentRequestRow.attempt - 1)

    def back_off(self, request_id: int, reason: str, run_after: datetime) -> None:
        """The requester couldn't be told; try again after `run_after`."""
        self._move(request_id, "back_off", reason=reason, run_after=run_after)

    def report(self, request_id: int, now: datetime) -> None:
        """The requester knows."""
        self._move(request_id, "report", reason="", reported_at=now)

    def abandon(self, request_id: int, reason: str) -> None:
        """The requester can't be told."""
        self._move(request_id, "abandon", reason=reason)

    def _move(self, request_id: int, event: str, **changes: Any) -> None:
        with self._database.transaction() as session:
            row = session.scalars(select(CommitmentRequestRow).where(CommitmentRequestRow.id == request_id).with_for_update()).one()
            if row.state not in sources(COMMITMENT_MOVES, event):
                return  # another process has told it
            row.state = move(COMMITMENT_MOVES, row.state, event)
            for name, value in changes.items():
                setattr(row, name, value)


def _instance_values(request_id: int, reference: Reference) -> Mapping[str, Any]:
    return {"request_id": request_id, "sop_class_uid": reference.sop_class_uid, "sop_instance_uid": reference.sop_instance_uid}


def _references(session: Session, request_ids: Iterable[int]) -> Mapping[int, tuple[Reference, ...]]:
    """The instances of each request."""
    found: dict[int, list[Reference]] = {}
    of_requests = select(CommitmentInstanceRow).where(CommitmentInstanceRow.request_id.in_(request_ids))
    for row in session.scalars(of_requests.order_by(CommitmentInstanceRow.request_id, CommitmentInstanceRow.sop_instance_uid)):
        found.setdefault(row.request_id, []).append(Reference(row.sop_class_uid, row.sop_instance_uid))
    return {request_id: tuple(references) for request_id, references in found.items()}
