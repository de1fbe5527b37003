"""STOW-RS: files to a DICOMweb service, PS3.18 10.5."""

import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cad_node.deliver.part10 import Part10File, look, unreadable
from cad_node.deliver.store_response import outcome_of_rest, outcomes_by_instance, speaks_of_the_service
from cad_node.deliver.transport import Outcome
from cad_node.deliver.web import WebService, WebSession
from cad_node.errors import PacsUnreachable

_ACCEPT = "application/dicom+json, application/dicom+xml;q=0.5"  # every server must know the former, PS3.18 10.5.3; not every one does
_READ_BYTES = 262_144
_PART_END = b"\r\n"


class Stow:
    """A Transport: as many files a request as its limit holds, streamed from the disk."""

    def __init__(self, service: WebService, max_request_bytes: float) -> None:
        self._service, self._max_request_bytes = service, max_request_bytes

    def send(self, files: Sequence[Path]) -> Generator[Outcome, None, None]:
        """One Outcome per file, in order. Once the service is in trouble, the rest isn't tried, but retryable."""
        with ExitStack() as stack:
            line = _Line(self._service, stack)
            for batch in _batches([look(path) for path in files], self._max_request_bytes):
                stored = iter(line.store([item for item in batch if isinstance(item, Part10File)]))
                for item in batch:
                    yield item if isinstance(item, Outcome) else next(stored)


class _Line:
    """A session, opened for the first request; after the first trouble every file has the same Outcome."""

    def __init__(self, service: WebService, stack: ExitStack) -> None:
        self._service, self._stack = service, stack
        self._session: WebSession | None = None
        self._trouble: Outcome | None = None

    def store(self, files: Sequence[Part10File]) -> list[Outcome]:
        if self._trouble:
            return [self._trouble] * len(files)
        if not files:
            return []
        try:
            self._session = self._session or self._stack.enter_context(self._service.session())
            return self._store(self._session, files)
        except PacsUnreachable as exc:
            self._trouble = Outcome(False, exc.retryable, str(exc))
        return [self._trouble] * len(files)

    def _store(self, session: WebSession, files: Sequence[Part10File]) -> list[Outcome]:
        body = _Multipart([file.path for file in files], [file.size_bytes for file in files], uuid.uuid4().hex)
        try:
            answer = session.post("/studies", {"Content-Type": body.media_type, "Accept": _ACCEPT}, body)
        except _Unreadable as exc:
            return [exc.outcome] if len(files) == 1 else [self.store([file])[0] for file in files]
        told = outcomes_by_instance(answer)
        rest = outcome_of_rest(answer, others_named=bool(told))
        if len(files) > 1 and not rest.delivered and not rest.retryable:  # one of them has spoilt it for those that aren't named
            return [told.get(file.sop_instance_uid) or self.store([file])[0] for file in files]
        if speaks_of_the_service(answer):
            self._trouble = rest
        return [told.get(file.sop_instance_uid, rest) for file in files]


@dataclass(frozen=True, slots=True)
class _Multipart:
    """multipart/related of whole files, PS3.18 8.6.1; made anew each time it is iterated over."""

    paths: Sequence[Path]
    sizes_bytes: Sequence[int]
    boundary: str

    @property
    def media_type(self) -> str:
        return f'multipart/related; type="application/dicom"; boundary={self.boundary}'

    def __len__(self) -> int:
        return sum(self.sizes_bytes) + len(self.paths) * (len(self._part_head) + len(_PART_END)) + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        for path, size_bytes in zip(self.paths, self.sizes_bytes, strict=True):
            yield self._part_head
            yield from _content(path, size_bytes)
            yield _PART_END
        yield self._end

    @property
    def _part_head(self) -> bytes:
        return f"--{self.boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()

    @property
    def _end(self) -> bytes:
        return f"--{self.boundary}--\r\n".encode()


class _Unreadable(Exception):
    """A file failed half-way; no OSError, which would be taken for one of the connection."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


def _content(path: Path, size_bytes: int) -> Iterator[bytes]:
    """The file in pieces. Raises _Unreadable, also where it isn't as long as announced: the request would end too early or too late."""
    left = size_bytes
    try:
        with path.open("rb") as file:
            while chunk := file.read(min(_READ_BYTES, left)):
                left -= len(chunk)
                yield chunk
    except OSError as exc:
        raise _Unreadable(unreadable(path, exc)) from exc
    if left:
        raise _Unreadable(Outcome(False, True, f"{path.name} has been cut short while it was sent"))


def _batches(items: Sequence[Part10File | Outcome], max_bytes: float) -> Iterator[list[Part10File | Outcome]]:
    """Runs of items, each within the limit or of one file."""
    batch: list[Part10File | Outcome] = []
    batch_bytes = 0
    for item in items:
        size_bytes = item.size_bytes if isinstance(item, Part10File) else 0
        if batch and batch_bytes + size_bytes > max_bytes:
            yield batch
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += size_bytes
    yield batch
