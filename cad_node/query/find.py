"""C-FIND as SCU, Study Root, PS3.4 C.4.1."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]  # made at import

from cad_node.errors import PacsUnreachable
from cad_node.query.association import QueryFailed, QueryPeer, associated
from cad_node.query.statuses import PENDING, SUCCESS, meaning_of

Keys = Mapping[str, Sequence[str]]


def find(peer: QueryPeer, level: str, keys: Keys) -> list[Dataset]:
    """Every match of `keys` at `level`.

    level: STUDY, SERIES or IMAGE; the unique keys of the levels above must be among the keys, PS3.4 C.4.1.2.1.
    keys: keyword -> what to match; "" matches all and asks for the value; several values are UIDs.
    Raises PacsUnreachable, AssociationRejected, QueryFailed; none of them repeats a key's value.
    """
    model = StudyRootQueryRetrieveInformationModelFind
    with associated(peer, [build_context(model, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])]) as association:
        return _matches(peer, association.send_c_find(identifier_of(level, keys), model))


def identifier_of(level: str, keys: Keys) -> Dataset:
    """The Identifier of a request, PS3.4 C.4.1.1.3."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value if isinstance(value, str) else list(value))
    if not all(part.isascii() for value in keys.values() for part in value):
        identifier.SpecificCharacterSet = "ISO_IR 192"  # UTF-8
    return identifier


def _matches(peer: QueryPeer, responses: Any) -> list[Dataset]:
    matches: list[Dataset] = []
    for status, match in responses:
        if "Status" not in status:
            raise PacsUnreachable(f"{peer} ended the association in its answer to a query, or sent none for {peer.response_timeout_s:g} s")
        if status.Status == SUCCESS:
            return matches
        if status.Status not in PENDING:
            raise QueryFailed(f"{peer} answers a query with 0x{status.Status:04X}: {meaning_of(status.Status)}")
        if match is None:
            raise QueryFailed(f"{peer} answers a query with a data set that can't be decoded")
        matches.append(match)
    return matches
