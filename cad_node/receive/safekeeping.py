"""Whether instances lie on disk as they were received."""

from collections.abc import Sequence
from typing import NamedTuple

from cad_node.commitment import FailureReason, Reference
from cad_node.log import get_logger
from cad_node.store.commitments import Commitments, Indexed
from cad_node.store.digest import is_as

log = get_logger()


class Kept(NamedTuple):
    """Which instances are kept, and why the others aren't."""

    committed: tuple[Reference, ...]
    failed: dict[Reference, FailureReason]
    are_indexed: bool  # all of them; what has just come may not be yet


def look_for(references: Sequence[Reference], commitments: Commitments) -> Kept:
    """Read every file, from its first byte to its last."""
    indexed = commitments.indexed([reference.sop_instance_uid for reference in references])
    reasons = {reference: _failure(reference, indexed.get(reference.sop_instance_uid)) for reference in references}
    committed = tuple(reference for reference, reason in reasons.items() if reason is None)
    failed = {reference: reason for reference, reason in reasons.items() if reason is not None}
    return Kept(committed, failed, all(reference.sop_instance_uid in indexed for reference in references))


def _failure(reference: Reference, indexed: Indexed | None) -> FailureReason | None:
    """Why an instance isn't kept; None: it is."""
    if indexed is None:
        return FailureReason.NO_SUCH_INSTANCE
    if indexed.sop_class_uid != reference.sop_class_uid:
        return FailureReason.CLASS_INSTANCE_CONFLICT
    try:
        is_whole = is_as(indexed.path, indexed.digest)
    except OSError as exc:
        log.error("instance.lost", sop_instance_uid=reference.sop_instance_uid, reason=exc.strerror or type(exc).__name__)
        return FailureReason.NO_SUCH_INSTANCE if isinstance(exc, FileNotFoundError) else FailureReason.PROCESSING_FAILURE
    if not is_whole:
        log.error("instance.damaged", sop_instance_uid=reference.sop_instance_uid, reason="its file isn't what was received")
        return FailureReason.PROCESSING_FAILURE
    return None
