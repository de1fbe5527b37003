"""A real Orthanc as the PACS, on loopback, for as long as a test needs it."""

import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

ORTHANC = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin")
PLUGINS = Path("/usr/share/orthanc/plugins")
MISSING = " and ".join(
    name for name, there in (("orthanc", ORTHANC), ("orthanc-dicomweb", (PLUGINS / "libOrthancDicomWeb.so").exists())) if not there
)
AE_TITLE = "ORTHANC"


class Orthanc:
    def __init__(self, folder: Path, http_port: int, dicom_port: int, node_port: int, **more: Any) -> None:
        """more: settings of Orthanc's configuration file."""
        self.dicom_port = dicom_port
        self._url = f"http://127.0.0.1:{http_port}"
        self._config = folder / "orthanc.json"
        self._log = folder / "orthanc.log"
        self._config.write_text(
            json.dumps(
                {
                    "Name": "PACS",
                    "StorageDirectory": str(folder / "orthanc"),
                    "IndexDirectory": str(folder / "orthanc"),
                    "HttpPort": http_port,
                    "DicomPort": dicom_port,
                    "DicomAet": AE_TITLE,
                    "RemoteAccessAllowed": False,
                    "UnknownSopClassAccepted": True,
                    "Plugins": [str(PLUGINS)],
                    "DicomModalities": {"cad_node": ["CAD_NODE", "127.0.0.1", node_port]},
                    "DicomWeb": {"Enable": True, "Host": f"127.0.0.1:{http_port}"},
                }
                | more
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Orthanc":
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([str(ORTHANC), str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.get("/system")
            except OSError:
                assert time.monotonic() < deadline, f"Orthanc didn't start; its log is {self._log}"
                time.sleep(0.2)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        assert self._process
        self._process.terminate()
        self._process.wait(30)

    def get(self, path: str, accept: str = "application/json") -> Any:
        request = urllib.request.Request(self._url + path, headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if "json" in accept else body

    def post(self, path: str, body: bytes) -> Any:
        request = urllib.request.Request(self._url + path, data=body, method="POST")
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())

    def upload(self, files: list[Path]) -> str:
        """Put files in by REST; returns Orthanc's own id of their study."""
        return [self.post("/instances", file.read_bytes())["ParentStudy"] for file in files][-1]
