"""What lies in the node's folders, by UID: received instances, and the objects that jobs made."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from cad_node.store.database import Database
from cad_node.store.tables import InstanceRow, JobRow, ResultRow


class HeldResult(NamedTuple):
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    path: Path


class Held:
    """Reads only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def instances(self, study_instance_uid: str) -> frozenset[str]:
        """The SOP Instance UIDs of what was received of a study, images or not."""
        of_study = select(InstanceRow.sop_instance_uid).where(InstanceRow.study_instance_uid == study_instance_uid)
        with self._database.reading() as session:
            return frozenset(session.scalars(of_study))

    def results(
        self,
        study_instance_uids: Collection[str] = (),
        series_instance_uids: Collection[str] = (),
        sop_instance_uids: Collection[str] = (),
    ) -> list[HeldResult]:
        """The results whose files are there, with these UIDs; empty: whatever UID. By study and series, oldest first."""
        columns = (JobRow.study_instance_uid, ResultRow.series_instance_uid, ResultRow.sop_instance_uid, ResultRow.path)
        chosen = select(*columns).join(JobRow, JobRow.id == ResultRow.job_id).where(ResultRow.removed_at.is_(None))
        wanted = zip(columns, (study_instance_uids, series_instance_uids, sop_instance_uids), strict=False)
        for column, uids in wanted:
            if uids:
                chosen = chosen.where(column.in_(list(uids)))
        ordered = chosen.order_by(JobRow.study_instance_uid, ResultRow.series_instance_uid, ResultRow.id)
        with self._database.reading() as session:
            return [HeldResult(study, series, sop, Path(path)) for study, series, sop, path in session.execute(ordered)]
