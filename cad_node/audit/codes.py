"""The DICOM codes of audit messages: PS3.16 CID 400 (events), 401 and 403 (their types), 402 (roles), 404 (objects)."""

from typing import NamedTuple


class Code(NamedTuple):
    value: str
    scheme: str
    meaning: str


def _dcm(value: int, meaning: str) -> Code:
    return Code(str(value), "DCM", meaning)


# Events, PS3.15 A.5.3
APPLICATION_ACTIVITY = _dcm(110100, "Application Activity")
AUDIT_LOG_USED = _dcm(110101, "Audit Log Used")
INSTANCES_ACCESSED = _dcm(110103, "DICOM Instances Accessed")
INSTANCES_TRANSFERRED = _dcm(110104, "DICOM Instances Transferred")
STUDY_DELETED = _dcm(110105, "DICOM Study Deleted")
QUERY = _dcm(110112, "Query")
SECURITY_ALERT = _dcm(110113, "Security Alert")

# Their types
APPLICATION_START = _dcm(110120, "Application Start")
APPLICATION_STOP = _dcm(110121, "Application Stop")
NODE_AUTHENTICATION = _dcm(110126, "Node Authentication")
USE_OF_RESTRICTED_FUNCTION = _dcm(110132, "Use of Restricted Function")
AUDIT_RECORDING_STOPPED = _dcm(110133, "Audit Recording Stopped")

# Roles of participants
APPLICATION = _dcm(110150, "Application")
DESTINATION_ROLE = _dcm(110152, "Destination Role ID")
SOURCE_ROLE = _dcm(110153, "Source Role ID")

# What a participant object is identified by
STUDY_INSTANCE_UID = _dcm(110180, "Study Instance UID")
SOP_CLASS_UID = _dcm(110181, "SOP Class UID")
NODE_ID = _dcm(110182, "Node ID")
URI = Code("12", "RFC-3881", "URI")  # PS3.15 A.5.1.2.4
