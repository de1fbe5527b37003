"""Performed procedure steps: made and changed by modalities, read as evidence of what a study must hold."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import select

from cad_node.errors import UnknownRow
from cad_node.lifecycle import STEP_MOVES, StepState, move
from cad_node.store.database import Database, insert_if_absent
from cad_node.store.tables import PerformedStepRow, PerformedStepStudyRow

Images = Mapping[str, Collection[str]]  # Series Instance UID -> SOP Instance UIDs


class PerformedSteps:
    """The rows of performed procedure steps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, sop_instance_uid: str, study_instance_uids: Collection[str], images: Images, now: datetime) -> bool:
        """A step in progress. False, and nothing is done, if there is one of this UID."""
        values = {
            "sop_instance_uid": sop_instance_uid,
            "state": StepState.IN_PROGRESS,
            "images": _as_json(images),
            "created_at": now,
            "changed_at": now,
        }
        with self._database.transaction() as session:
            created = insert_if_absent(session, PerformedStepRow, values)
            for uid in sorted(set(study_instance_uids)) if created else ():
                session.add(PerformedStepStudyRow(study_instance_uid=uid, sop_instance_uid=sop_instance_uid))
            return created

    def change(self, sop_instance_uid: str, event: str, images: Images | None, now: datetime) -> None:
        """Move a step, and replace its list of images. event: of lifecycle.STEP_MOVES; images: None keeps the list.

        Raises UnknownRow; IllegalMove where the step has ended already.
        """
        wanted = select(PerformedStepRow).where(PerformedStepRow.sop_instance_uid == sop_instance_uid).with_for_update()
        with self._database.transaction() as session:
            step = session.scalar(wanted)
            if step is None:
                raise UnknownRow(f"no performed procedure step {sop_instance_uid}")
            step.state = move(STEP_MOVES, step.state, event)
            step.changed_at = now
            if images is not None:
                step.images = _as_json(images)


def _as_json(images: Images) -> dict[str, list[str]]:
    return {series: sorted(set(uids)) for series, uids in images.items()}
