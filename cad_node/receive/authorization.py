"""Whether a message may be sent in its presentation context, and the answer to one that may not."""

from typing import Any

from pynetdicom.dimse_primitives import C_ECHO, C_STORE, N_EVENT_REPORT
from pynetdicom.presentation import PresentationContext

_NOT_AUTHORIZED = 0x0124  # PS3.7 Annex C


def is_authorized(message: Any, context: PresentationContext) -> bool:
    """What a peer may do is settled with its presentation contexts; a message mustn't reach further than the context it came in.

    N-EVENT-REPORT is sent by an SCP to us as SCU, and not every PACS negotiates that role. Who may store one kind of instance
    may store every kind, so C-STORE isn't compared; that the data set is of the command's class is seen where it is stored.
    """
    if isinstance(message, C_ECHO):
        return True
    if isinstance(message, C_STORE):
        return bool(context.as_scp)
    return _sop_class_uid(message) == context.abstract_syntax and (isinstance(message, N_EVENT_REPORT) or bool(context.as_scp))


def not_authorized(message: Any) -> Any:
    """The response that refuses `message`."""
    response = type(message)()
    response.MessageIDBeingRespondedTo = message.MessageID
    response.AffectedSOPClassUID = _sop_class_uid(message)
    response.Status = _NOT_AUTHORIZED
    return response


def _sop_class_uid(message: Any) -> Any:
    """Of the request: N-GET, N-SET, N-ACTION and N-DELETE call it the requested one, PS3.7 10.1."""
    return getattr(message, "AffectedSOPClassUID", None) or getattr(message, "RequestedSOPClassUID", None)
