"""A small receiving archive on loopback: what the node delivers lies in a folder as it came."""

from pathlib import Path
from types import TracebackType
from typing import Any

from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import AllStoragePresentationContexts
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import

AE_TITLE = "ARCHIVE"


class Archive:
    """Accepts every storage SOP class on a free loopback port and writes each instance to `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ae = ApplicationEntity(ae_title=AE_TITLE)
        self._ae.supported_contexts = AllStoragePresentationContexts
        self._ae.add_supported_context(Verification)
        self._received: dict[str, Path] = {}
        self.contradictions: list[str] = []  # SOP Instance UIDs that came twice with different contents
        self.port = 0

    def __enter__(self) -> "Archive":
        server = self._ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])
        assert server is not None and server.socket is not None  # noqa: PT018 - not blocking, it listens
        self.port = server.socket.getsockname()[1]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ae.shutdown()

    def objects(self) -> list[Path]:
        """What has arrived since the start; the folder may hold more from before."""
        return sorted(self._received.values())

    def _store(self, event: Any) -> int:  # Any: pynetdicom's events carry their attributes dynamically
        request = event.request
        name = f"{event.dataset.get('Modality', 'OT')}-{request.AffectedSOPInstanceUID}.dcm"
        path, content = self._folder / name, event.encoded_dataset()
        if (earlier := self._received.get(request.AffectedSOPInstanceUID)) and earlier.read_bytes() != content:
            self.contradictions.append(request.AffectedSOPInstanceUID)
        path.write_bytes(content)
        self._received[request.AffectedSOPInstanceUID] = path
        return 0x0000
