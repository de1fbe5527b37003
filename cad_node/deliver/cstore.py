"""C-STORE as SCU: files to a PACS, PS3.4 B."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pynetdicom.dsutils import split_dataset

from cad_node.deliver.association import MAX_CONTEXTS, Association, AssociationRejected, Peer
from cad_node.deliver.messages import Context
from cad_node.deliver.statuses import outcome_of
from cad_node.deliver.transport import Outcome
from cad_node.errors import PacsUnreachable
from cad_node.settings import Destination


@dataclass(frozen=True, slots=True)
class _Sendable:
    path: Path
    context: Context
    sop_instance_uid: str
    dataset_offset: int  # where the File Meta Information ends


class CStore:
    """A Transport: one association for the files of a call, or as many as their presentation contexts need."""

    def __init__(self, destination: Destination, calling_ae_title: str, timeout_s: float) -> None:
        self._peer = Peer(destination.host, destination.port, destination.ae_title, calling_ae_title, timeout_s)

    def send(self, files: Sequence[Path]) -> Iterator[Outcome]:
        """One Outcome per file, in order. After the one at which the peer is lost, none of its batch is tried: all are retryable."""
        for batch in _batches([_look(path) for path in files]):
            yield from self._send_batch(batch)

    def _send_batch(self, batch: Sequence[_Sendable | Outcome]) -> Iterator[Outcome]:
        contexts = _contexts(batch)
        try:
            assoc = Association(self._peer, contexts) if contexts else None
        except (PacsUnreachable, AssociationRejected) as exc:
            unsent = Outcome(False, exc.retryable, str(exc))
            yield from (item if isinstance(item, Outcome) else unsent for item in batch)
            return
        trouble: Outcome | None = None
        try:
            for item in batch:
                if isinstance(item, Outcome) or assoc is None:
                    yield item
                    continue
                if trouble is None:
                    try:
                        outcome = _store(assoc, item)
                    ...
        finally:
            ...
