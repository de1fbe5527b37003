"""What a STOW-RS answer says of each instance, PS3.18 10.5.3."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from cad_node.deliver.exchange import Answer
from cad_node.deliver.statuses import outcome_of
from cad_node.deliver.transport import Outcome

_REFERENCED, _FAILED = "00081199", "00081198"  # Referenced and Failed SOP Sequence
_SOP_INSTANCE, _FAILURE_REASON, _WARNING_REASON = "00081155", "00081197", "00081196"
_PROCESSING_FAILURE = 0x0110
_SYNTAX_NOT_SUPPORTED = 0xC122  # PS3.18 Table I.2-2: the other reasons are those of C-STORE
_HAS_IT = {0x0111, 0xB00E}  # of C-STORE, and Azure's: it was stored before, as the same UID is the same content here

# Of a request as a whole: what is wrong is in the request, so that the same one fares no better, PS3.18 Table 10.5.3-1.
_REFUSED = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}

_TO_LOOK_AT: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "; check its token, oauth2 or headers",
    HTTPStatus.FORBIDDEN: "; check what its token, oauth2 or headers allow",
    HTTPStatus.NOT_FOUND: "; check its url",
}

_Item = Mapping[str, Any]  # a data set of the DICOM JSON model, PS3.18 F.2


def outcomes_by_instance(answer: Answer) -> dict[str, Outcome]:
    """SOP Instance UID -> its outcome, of those that the answer names; none where its body says nothing, or can't be read."""
    try:
        return dict(_outcomes(_dataset(answer)))
    except Exception:  # noqa: BLE001 - what isn't the model can raise anything; it says nothing
        return {}


def outcome_of_rest(answer: Answer, *, others_named: bool) -> Outcome:
    """Of an instance that the answer doesn't name."""
    if answer.status == HTTPStatus.OK and not others_named:
        return Outcome.success(str(answer))
    if answer.status in _REFUSED:
        return Outcome(False, False, str(answer))
    unclear = ", which doesn't say whether it was stored" if answer.status // 100 == 2 else ""
    return Outcome(False, True, f"{answer}{unclear}{_TO_LOOK_AT.get(answer.status, '')}", wait_s=answer.retry_after_s)


def speaks_of_the_service(answer: Answer) -> bool:
    """Whether other instances would fare the same now: it is busy, away, or doesn't know us."""
    return answer.status // 100 != 2 and answer.status not in _REFUSED


def _outcomes(ds: _Item) -> Iterator[tuple[str, Outcome]]:
    for item in _values(ds, _REFERENCED):
        yield _first(item, _SOP_INSTANCE), _stored(item)
    for item in _values(ds, _FAILED):
        yield _first(item, _SOP_INSTANCE), _failed(int(_first(item, _FAILURE_REASON, _PROCESSING_FAILURE)))


def _stored(item: _Item) -> Outcome:
    warning = int(_first(item, _WARNING_REASON, 0))
    return Outcome.success(outcome_of(warning).reason) if outcome_of(warning).delivered else Outcome.success()


def _failed(reason: int) -> Outcome:
    if reason in _HAS_IT:
        return Outcome.success(f"0x{reason:04X} it has this instance already")
    if reason == _SYNTAX_NOT_SUPPORTED:
        return Outcome(False, False, f"0x{reason:04X} transfer syntax not supported", unsupported=True)
    outcome = outcome_of(reason)
    return Outcome(False, True, f"failed, and says {outcome.reason}") if outcome.delivered else outcome


def _values(ds: _Item, tag: str) -> Sequence[Any]:
    return ds.get(tag, {}).get("Value") or ()


def _first(ds: _Item, tag: str, otherwise: Any = None) -> Any:
    """An attribute's first value. Raises LookupError where it must be there and isn't."""
    values = _values(ds, tag)
    if not values and otherwise is None:
        raise LookupError(tag)
    return values[0] if values else otherwise


def _dataset(answer: Answer) -> _Item:
    """The data set of the answer, whose kind isn't always the one that was asked for."""
    if answer.media_type.endswith("json"):
        parsed = json.loads(answer.body)
        ds: _Item = parsed[0] if isinstance(parsed, list) else parsed
        return ds
    if answer.media_type.endswith("xml"):
        if re.search(rb"<!(DOCTYPE|ENTITY)", answer.body):
            raise ValueError("the Native DICOM Model has no entities")
        return _item(ET.fromstring(answer.body))  # noqa: S314 - without entities it can't grow
    return {}


def _item(element: ET.Element) -> _Item:
    """The Native DICOM Model, PS3.19 A.1, as DICOM JSON."""
    attributes = {one.get("tag", "").upper(): one for one in element if _name(one) == "DicomAttribute"}
    return {tag: {"Value": [_item(value) if _name(value) == "Item" else value.text for value in one]} for tag, one in attributes.items()}


def _name(element: ET.Element) -> str:
    """Without its namespace."""
    return element.tag.rpartition("}")[2]
