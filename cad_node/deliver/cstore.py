"""C-STORE as SCU: files to a PACS, PS3.4 B."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import UID
from pynetdicom.dsutils import split_dataset

from cad_node.deliver.association import MAX_CONTEXTS, Association, Peer
from cad_node.deliver.messages import Context
from cad_node.deliver.statuses import outcome_of
from cad_node.deliver.transport import Outcome
from cad_node.errors import AssociationRejected, PacsUnreachable
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
        self._peer = Peer.of(destination, calling_ae_title, timeout_s)

    def send(self, files: Sequence[Path]) -> Generator[Outcome, None, None]:
        """One Outcome per file, in order. Once the peer is lost, what is left for that association isn't tried, but retryable."""
        for batch in _batches([_look(path) for path in files]):
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

    def send(self, item: _Sendable) -> Outcome:
        if self._trouble:
            return self._trouble
        try:
            self._association = self._association or Association(self._peer, self._contexts)
            return _store(self._association, item)
        except (PacsUnreachable, AssociationRejected) as exc:
            self._trouble = Outcome(False, exc.retryable, str(exc))
        except OSError as exc:  # the file failed half-way: the peer waits for a rest that won't come
            self._trouble = _unreadable(item.path, exc)
        return self._trouble

    def close(self) -> None:
        if self._association and self._trouble:
            self._association.abort()
        elif self._association:
            self._association.release()


def _store(assoc: Association, item: _Sendable) -> Outcome:
    if not assoc.accepts(item.context):
        sop_class, syntax = (UID(uid).name for uid in item.context)
        return Outcome(False, False, f"presentation context not accepted: {sop_class} in {syntax}")
    try:
        dataset = item.path.open("rb")
    except OSError as exc:
        return _unreadable(item.path, exc)
    with dataset:
        dataset.seek(item.dataset_offset)
        return outcome_of(assoc.store(item.context, item.sop_instance_uid, dataset))


def _look(path: Path) -> _Sendable | Outcome:
    try:
        meta, offset = split_dataset(path)
        uids = [str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID), str(meta.MediaStorageSOPInstanceUID)]
        if not all(uid.isascii() and 0 < len(uid) <= 64 for uid in uids):
            return Outcome(False, False, f"{path.name}: a UID in its File Meta Information is no UID")
        return _Sendable(path, Context(uids[0], uids[1]), uids[2], offset)
    except OSError as exc:
        return _unreadable(path, exc)
    except Exception:  # noqa: BLE001 - a broken file can raise anything; it is an Outcome
        return Outcome(False, False, f"{path.name}: not a DICOM file with File Meta Information")


def _unreadable(path: Path, exc: OSError) -> Outcome:
    """A file that is gone won't come back; one that can't be read now may be readable later."""
    return Outcome(False, not isinstance(exc, FileNotFoundError), f"{path.name} can't be read: {exc.strerror}")


def _batches(items: Sequence[_Sendable | Outcome]) -> Iterator[list[_Sendable | Outcome]]:
    """Runs of items, each with no more presentation contexts than an association holds."""
    batch: list[_Sendable | Outcome] = []
    contexts: set[Context] = set()
    for item in items:
        context = {item.context} if isinstance(item, _Sendable) else set()
        if len(contexts | context) > MAX_CONTEXTS:
            yield batch
            batch, contexts = [], set()
        batch.append(item)
        contexts |= context
    yield batch


def _contexts(items: Sequence[_Sendable | Outcome]) -> list[Context]:
    return list(dict.fromkeys(item.context for item in items if isinstance(item, _Sendable)))
