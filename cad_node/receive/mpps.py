"""Modality Performed Procedure Step as SCP, PS3.4 F.7: what a modality says it has made is what must be here.

Only UIDs and the step's status are kept; nothing of the patient is read.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import ModalityPerformedProcedureStep  # type: ignore[attr-defined] # made when pynetdicom is imported

from cad_node.errors import CadNodeError, UnknownRow
from cad_node.lifecycle import IllegalMove, StepState
from cad_node.log import get_logger
from cad_node.receive.service import Handler
from cad_node.store.performed_steps import Images, PerformedSteps
from cad_node.store.spool import InvalidUid, check_uid

log = get_logger()

_SUCCESS = 0x0000
_EVENTS: Mapping[str, str] = {StepState.IN_PROGRESS: "update", StepState.COMPLETED: "complete", StepState.DISCONTINUED: "discontinue"}

Answer = tuple[Dataset | int, Dataset | None]  # status, and the attributes that go with it


class StepStatus(NamedTuple):
    code: int
    comment: str  # Error Comment (0000,0902): LO, 64 characters at most, never anything of a patient
    error_id: int | None = None  # Error ID (0000,0903)


class StepFailure(Enum):
    """Why a request isn't done, PS3.7 Annex C; docs/conformance.md is made from it."""

    INVALID_VALUE = StepStatus(0x0106, "A status or a UID isn't one, or isn't allowed here")
    PROCESSING = StepStatus(0x0110, "Processing failure")
    ENDED = StepStatus(0x0110, "Performed Procedure Step Object may no longer be updated", 0xA710)  # PS3.4 F.7.2.2.2
    DUPLICATE = StepStatus(0x0111, "There is a step of this SOP Instance UID")
    UNKNOWN = StepStatus(0x0112, "There is no step of this SOP Instance UID")
    INVALID_UID = StepStatus(0x0117, "The SOP Instance UID isn't a UID")
    MISSING = StepStatus(0x0120, "Performed Procedure Step Status or Study Instance UID is missing")
    EMPTY = StepStatus(0x0121, "Performed Procedure Step Status or Study Instance UID is empty")
    NOT_NOW = StepStatus(0x0213, "Out of resources for now; send it again later")


class StepRefused(CadNodeError):
    """A request on a performed procedure step can't be done."""

    def __init__(self, failure: StepFailure) -> None:
        super().__init__(failure.value.comment)
        self.failure = failure


class PerformedProcedureSteps:
    """Takes N-CREATE and N-SET of performed procedure steps from any modality."""

    def __init__(self, steps: PerformedSteps, clock: Callable[[], datetime]) -> None:
        self._steps, self._clock = steps, clock

    def contexts(self) -> Sequence[PresentationContext]:
        return [build_context(ModalityPerformedProcedureStep)]

    def handlers(self) -> Sequence[Handler]:
        return [(evt.EVT_N_CREATE, self._create), (evt.EVT_N_SET, self._set)]

    def _create(self, event: Any) -> Answer:
        """A step begins, PS3.4 F.7.2.1; its UID is the modality's to give."""
        uid = str(event.request.AffectedSOPInstanceUID or "")
        return _answered("mpps.begun", event, uid, lambda: self._begin(uid, event.attribute_list))

    def _set(self, event: Any) -> Answer:
        """A step is updated, or ends, PS3.4 F.7.2.2."""
        uid = str(event.request.RequestedSOPInstanceUID or "")
        return _answered("mpps.changed", event, uid, lambda: self._change(uid, event.modification_list))

    def _begin(self, uid: str, ds: Dataset) -> StepState:
        check_uid("SOP Instance UID", uid)
        if _status(ds) is not StepState.IN_PROGRESS:  # PS3.4 F.7.2.1.2
            raise StepRefused(StepFailure.INVALID_VALUE)
        if not self._steps.create(uid, _studies(ds), _images(ds) or {}, self._clock()):
            raise StepRefused(StepFailure.DUPLICATE)
        return StepState.IN_PROGRESS

    def _change(self, uid: str, ds: Dataset) -> StepState:
        """A list of series replaces the one that was there: whoever sets a sequence sends all its items, PS3.7 10.1.3."""
        state = _status(ds) if "PerformedProcedureStepStatus" in ds else StepState.IN_PROGRESS
        self._steps.change(uid, _EVENTS[state], _images(ds), self._clock())
        return state


def _answered(said: str, event: Any, uid: str, do: Callable[[], StepState]) -> Answer:
    """What `do` comes to, as a status; whatever goes wrong, the association lives on."""
    calling_ae_title = event.assoc.requestor.ae_title
    try:
        state = do()
    except Exception as error:  # noqa: BLE001 - becomes a status
        status = _failure_of(error).value
        reason = str(error) if isinstance(error, CadNodeError) else type(error).__name__  # foreign messages may quote the data set
        log.warning("mpps.refused", calling_ae_title=calling_ae_title, status=f"0x{status.code:04X}", reason=reason)
        return _as_dataset(status), None
    log.info(said, calling_ae_title=calling_ae_title, step=uid, state=state.value)
    return _SUCCESS, None


def _failure_of(error: Exception) -> StepFailure:
    if isinstance(error, StepRefused):
        return error.failure
    if isinstance(error, CadNodeError) and error.retryable:
        return StepFailure.NOT_NOW
    return next((failure for kind, failure in _FAILURES.items() if isinstance(error, kind)), StepFailure.PROCESSING)


_FAILURES: Mapping[type[Exception], StepFailure] = {
    IllegalMove: StepFailure.ENDED,
    UnknownRow: StepFailure.UNKNOWN,
    InvalidUid: StepFailure.INVALID_UID,
}


def _as_dataset(status: StepStatus) -> Dataset:
    ds = Dataset()
    ds.Status = status.code
    ds.ErrorComment = status.comment
    if status.error_id is not None:
        ds.ErrorID = status.error_id
    return ds


def _status(ds: Dataset) -> StepState:
    try:
        return StepState(_required(ds, "PerformedProcedureStepStatus"))
    except ValueError as exc:
        raise StepRefused(StepFailure.INVALID_VALUE) from exc


def _studies(ds: Dataset) -> set[str]:
    """The studies that the step is of, PS3.3 C.4.13: one for each item."""
    scheduled = ds.get("ScheduledStepAttributesSequence")
    if not scheduled:
        raise StepRefused(StepFailure.MISSING)
    return {_listed_uid(_required(item, "StudyInstanceUID")) for item in scheduled}


def _images(ds: Dataset) -> Images | None:
    """The images of each series, PS3.3 C.4.15; None if the data set says nothing of series.

    Reports and other objects that aren't images are listed apart from them, and don't count.
    """
    if "PerformedSeriesSequence" not in ds:
        return None
    images: dict[str, set[str]] = defaultdict(set)
    for series in ds.PerformedSeriesSequence or ():
        listed = series.get("ReferencedImageSequence") or ()
        images[_listed_uid(series.get("SeriesInstanceUID"))] |= {_listed_uid(image.get("ReferencedSOPInstanceUID")) for image in listed}
    return images


def _required(ds: Dataset, keyword: str) -> str:
    """The value of a Type 1 attribute."""
    if keyword not in ds:
        raise StepRefused(StepFailure.MISSING)
    if not (value := ds.get(keyword)):
        raise StepRefused(StepFailure.EMPTY)
    return str(value)


def _listed_uid(value: object) -> str:
    try:
        check_uid("a listed UID", uid := str(value or ""))
    except InvalidUid as exc:
        raise StepRefused(StepFailure.INVALID_VALUE) from exc
    return uid
