"""What made an object: the algorithm as equipment and as algorithm identification."""

from typing import Any

from highdicom import AlgorithmIdentificationSequence
from highdicom.base_content import ContributingEquipment
from highdicom.sr import AlgorithmIdentification, DeviceObserverIdentifyingAttributes, ObserverContext
from pydicom.sr.codedict import codes

from cad_node.output.builder import Run

REVIEW_REMARK = "Not for diagnostic use without review"


def model_name(run: Run) -> str:
    """Manufacturer's Model Name: an LO, at most 64 characters, PS3.5 6.2."""
    return run.manifest.title[:64]


def manufacturer(run: Run) -> str:
    return run.manifest.manufacturer[:64]


def software_versions(run: Run) -> list[str]:
    """The algorithm's version, as its identification has it, those of its parts, and the node's."""
    parts = [key.replace("/", " ") for key in run.manifest.parts.values()]
    return [run.manifest.version, *parts, f"cad_node {run.software_version}"]


def general_equipment(run: Run) -> dict[str, Any]:
    """(Enhanced) General Equipment module, as highdicom's arguments, PS3.3 C.7.5.1 and C.7.5.2."""
    return {
        "manufacturer": manufacturer(run),
        "manufacturer_model_name": model_name(run),
        "software_versions": software_versions(run),
        "device_serial_number": run.device_uid,
    }


def series_description(run: Run, kind: str) -> str:
    """What, and by which algorithm: an LO, at most 64 characters. The kind comes first, for lists show little more than the beginning."""
    beginning, ending = f"{kind[0].upper()}{kind[1:]}: ", f" {run.manifest.version}"
    return beginning + run.manifest.title[: 64 - len(beginning) - len(ending)] + ending


def contributing_equipment(run: Run) -> ContributingEquipment:
    """The algorithm as Processing Equipment, PS3.3 C.12.1.1.5."""
    item = ContributingEquipment(
        purpose_of_reference=codes.DCM.ProcessingEquipment,  # (109102, DCM)
        contribution_description=f"Findings by the algorithm {run.manifest.name}. {REVIEW_REMARK}",
        **general_equipment(run),
    )
    item.DeviceUID = run.device_uid
    return item


def segment_algorithm(run: Run) -> AlgorithmIdentificationSequence:
    """PS3.3 10.16"""
    family = codes.cid7162.ArtificialIntelligence
    return AlgorithmIdentificationSequence(model_name(run), family, run.manifest.version, source=manufacturer(run))


def report_algorithm(run: Run) -> AlgorithmIdentification:
    """PS3.16 TID 4019"""
    return AlgorithmIdentification(model_name(run), run.manifest.version)


def device_observer(run: Run) -> ObserverContext:
    """The device as the only observer: no person has seen the report yet, PS3.16 TID 1002 and 1004."""
    attributes = DeviceObserverIdentifyingAttributes(
        uid=run.device_uid,
        name=run.manifest.name,
        manufacturer_name=manufacturer(run),
        model_name=f"{model_name(run)} {run.manifest.version}",
        serial_number=run.device_uid,
    )
    return ObserverContext(codes.DCM.Device, attributes)
