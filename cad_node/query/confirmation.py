"""C-FIND as proof that a PACS holds instances."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from cad_node.commitment import Reference
from cad_node.confirmation import Answer, Located, NotAnswered
from cad_node.query.association import QueryFailed, QueryPeer
from cad_node.query.find import find


@dataclass(frozen=True, slots=True)
class ByFind:
    """A Confirmation: one query for each series, at the IMAGE level."""

    peer: QueryPeer

    def ask(self, transaction_uid: str, instances: Sequence[Located]) -> Answer:  # noqa: ARG002 - C-FIND has no transactions
        held: set[Reference] = set()
        try:
            for (study, series), wanted in groupby(sorted(instances), key=lambda instance: instance[:2]):
                held |= self._held(study, series, [instance.reference for instance in wanted])
        except QueryFailed as exc:
            raise NotAnswered(str(exc)) from exc
        return Answer(frozenset(held), reason="not found by C-FIND")

    def _held(self, study_instance_uid: str, series_instance_uid: str, wanted: Sequence[Reference]) -> set[Reference]:
        keys: dict[str, str | list[str]] = {
            "StudyInstanceUID": study_instance_uid,
            "SeriesInstanceUID": series_instance_uid,
            "SOPInstanceUID": [reference.sop_instance_uid for reference in wanted],
            "SOPClassUID": "",
        }
        matches = {str(match.get("SOPInstanceUID")): str(match.get("SOPClassUID") or "") for match in find(self.peer, "IMAGE", keys)}
        # SOP Class UID is an optional key (PS3.4 Table C.6-4): a PACS may leave it out.
        return {one for one in wanted if matches.get(one.sop_instance_uid) in {"", one.sop_class_uid}}
