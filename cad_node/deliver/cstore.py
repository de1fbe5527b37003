"""C-STORE as SCU: files to a PACS, PS3.4 B."""

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from pydicom.uid import UID

from cad_node.deliver.association import MAX_CONTEXTS, Association, Peer
from cad_node.deliver.messages import Context
from cad_node.deliver.part10 import Part10File, look, unreadable
from cad_node.deliver.statuses import outcome_of
from cad_node.deliver.transport import Outcome
from cad_node.errors import AssociationRejected, PacsUnreachable
from cad_node.settings import Destination


class CStore:
    """A Transport: one association for the files of a call, or as many as their presentation contexts need."""

    def __init__(self, destination: Destination, calling_ae_title: str, timeout_s: float) -> None:
        self._peer = Peer.of(destination, calling_ae_title, timeout_s)

    def send(self, files: Sequence[Path]) -> Generator[Outcome, None, None]:
        """One Outcome per file, in order. Once the peer is lost, what is left for that association isn't tried, but retryable."""
        for batch in _batches([look(path) for path in files]):
            line = _Line(self._peer, _contexts(batch))
            try:
                for item in batch:
                    yield item if isinstance(item, Outcome) else line.send(item)
            finally:
                line.close()


class _Line:
    """An association, made for the first file; after the first trouble every file has the same Outcome."""

    def __init__(self, peer: Peer, contexts: Sequence[Context]) -> None:
        self._peer, self._contexts = peer, contexts
        self._association: Association | None = None
        self._trouble: Outcome | None = None

    def send(self, item: Part10File) -> Outcome:
        if self._trouble:
            return self._trouble
        try:
            self._association = self._association or Association(self._peer, self._contexts)
            return _store(self._association, item)
        except (PacsUnreachable, AssociationRejected) as exc:
            self._trouble = Outcome(False, exc.retryable, str(exc))
        except OSError as exc:  # the file failed half-way: the peer waits for a rest that won't come
            self._trouble = unreadable(item.path, exc)
        return self._trouble

    def close(self) -> None:
        if self._association and self._trouble:
            self._association.abort()
        elif self._association:
            self._association.release()


def _store(assoc: Association, item: Part10File) -> Outcome:
    context = _context(item)
    if not assoc.accepts(context):
        sop_class, syntax = (UID(uid).name for uid in context)
        return Outcome(False, False, f"presentation context not accepted: {sop_class} in {syntax}", unsupported=True)
    try:
        dataset = item.path.open("rb")
    except OSError as exc:
        return unreadable(item.path, exc)
    with dataset:
        dataset.seek(item.dataset_offset)
        return outcome_of(assoc.store(context, item.sop_instance_uid, dataset))


def _context(file: Part10File) -> Context:
    return Context(file.sop_class_uid, file.transfer_syntax_uid)


def _batches(items: Sequence[Part10File | Outcome]) -> Iterator[list[Part10File | Outcome]]:
    """Runs of items, each with no more presentation contexts than an association holds."""
    batch: list[Part10File | Outcome] = []
    contexts: set[Context] = set()
    for item in items:
        context = {_context(item)} if isinstance(item, Part10File) else set()
        if len(contexts | context) > MAX_CONTEXTS:
            yield batch
            batch, contexts = [], set()
        batch.append(item)
        contexts |= context
    yield batch


def _contexts(items: Sequence[Part10File | Outcome]) -> list[Context]:
    return list(dict.fromkeys(_context(item) for item in items if isinstance(item, Part10File)))
