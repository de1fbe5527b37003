"""What every object of a run shares once its content stands: times, device, equipment, character set."""

from datetime import timedelta, timezone

from pydicom.dataset import Dataset
from pydicom.valuerep import DA, TM

from cad_node.output.builder import Run
from cad_node.output.equipment import contributing_equipment
from cad_node.output.headers import character_set, timezone_offset


def stamp(ds: Dataset, header: Dataset, run: Run) -> None:
    """Replace all that highdicom takes from the clock, so that the same run gives the same bytes; name the algorithm.

    header: the first of reference_headers().
    """
    offset = timezone_offset(header, run)
    made_at = run.started_at.astimezone(_zone(offset))
    for prefix in ("InstanceCreation", "Series", "Content"):
        setattr(ds, f"{prefix}Date", DA(made_at.date()))
        setattr(ds, f"{prefix}Time", TM(made_at.time()))
    ds.TimezoneOffsetFromUTC = offset
    kept = [item for item in ds.ContributingEquipmentSequence if item.get("ManufacturerModelName") != "highdicom"]
    ds.ContributingEquipmentSequence = [*kept, contributing_equipment(run)]
    charset = character_set(header, run)
    if charset:
        ds.SpecificCharacterSet = charset


def _zone(offset: str) -> timezone:
    return timezone(timedelta(hours=int(offset[:3]), minutes=int(offset[0] + offset[3:5])))
