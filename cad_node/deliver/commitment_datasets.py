"""The data sets of Storage Commitment: what is asked and what is reported, PS3.4 J.3."""

from collections.abc import Iterable, Sequence
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.dsutils import decode, encode
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from cad_node.commitment import FailureReason, Reference, Report

SOP_CLASS, SOP_INSTANCE = str(StorageCommitmentPushModel), str(StorageCommitmentPushModelInstance)
TRANSFER_SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
REQUEST_COMMITMENT = 1  # Action Type ID, PS3.4 Table J.3-1
ALL_COMMITTED, FAILURES_EXIST = 1, 2  # Event Type IDs, PS3.4 Table J.3-2


class UnreadableInformation(ValueError):
    """Not the Action or Event Information of Storage Commitment; the message says what is missing, never a value."""


def action_information(transaction_uid: str, references: Sequence[Reference]) -> Dataset:
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    ds.ReferencedSOPSequence = [_item(reference) for reference in references]
    return ds


def event_information(report: Report) -> tuple[int, Dataset]:
    """Event Type ID and Event Information; an empty sequence is left out, PS3.4 Table J.3-2."""
    ds = Dataset()
    ds.TransactionUID = report.transaction_uid
    if report.committed:
        ds.ReferencedSOPSequence = [_item(reference) for reference in report.committed]
    if not report.failed:
        return ALL_COMMITTED, ds
    ds.FailedSOPSequence = [_item(reference, reason) for reference, reason in report.failed.items()]
    return FAILURES_EXIST, ds


def read_action_information(ds: Dataset) -> tuple[str, tuple[Reference, ...]]:
    """Transaction UID and what is asked about, each once. Raises UnreadableInformation."""
    references = dict.fromkeys(_reference(item) for item in _items(ds, "ReferencedSOPSequence"))
    if not references:
        raise UnreadableInformation("Referenced SOP Sequence (0008,1199) is missing or empty")
    return _uid(ds, "TransactionUID"), tuple(references)


def read_event_information(ds: Dataset) -> Report:
    """What is committed and what isn't; an empty sequence is as good as none. Raises UnreadableInformation."""
    return Report(
        _uid(ds, "TransactionUID"),
        tuple(dict.fromkeys(_reference(item) for item in _items(ds, "ReferencedSOPSequence"))),
        {_reference(item): _failure_reason(item) for item in _items(ds, "FailedSOPSequence")},
    )


def encoded(ds: Dataset, transfer_syntax_uid: str) -> bytes:
    syntax = UID(transfer_syntax_uid)
    content = encode(ds, syntax.is_implicit_VR, syntax.is_little_endian)
    assert content is not None, "UIDs and numbers can always be encoded"
    return content


def decoded(content: bytes, transfer_syntax_uid: str) -> Dataset:
    """Raises UnreadableInformation."""
    syntax = UID(transfer_syntax_uid)
    try:
        return decode(BytesIO(content), syntax.is_implicit_VR, syntax.is_little_endian)
    except Exception as exc:  # on broken bytes pydicom raises anything
        raise UnreadableInformation(f"not a data set in {syntax.name}: {type(exc).__name__}") from exc


def _item(reference: Reference, failure_reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference
    if failure_reason is not None:
        item.FailureReason = failure_reason
    return item


def _items(ds: Dataset, keyword: str) -> Iterable[Dataset]:
    try:
        return ds.get(keyword) or ()
    except Exception as exc:  # as above: sequences are decoded when they are looked at
        raise UnreadableInformation(f"{keyword} can't be read: {type(exc).__name__}") from exc


def _reference(item: Dataset) -> Reference:
    return Reference(_uid(item, "ReferencedSOPClassUID"), _uid(item, "ReferencedSOPInstanceUID"))


def _uid(ds: Dataset, keyword: str) -> str:
    """As it was sent: pydicom would warn of a bad one, and print it."""
    value = getattr(ds.get_item(keyword), "value", None) if keyword in ds else None
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    if not text.strip(" \0"):
        raise UnreadableInformation(f"{keyword} is missing")
    return text.strip(" \0")


def _failure_reason(item: Dataset) -> int:
    """What doesn't say why has failed all the same."""
    value = item.get("FailureReason")
    return value if isinstance(value, int) else FailureReason.PROCESSING_FAILURE
