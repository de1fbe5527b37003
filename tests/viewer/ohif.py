"""OHIF, fetched once, as a site of its own on loopback; /dicom-web is passed on to the PACS."""

import json
import shutil
import subprocess
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSION = "3.13.2"
_CACHE = Path(__file__).resolve().parents[2] / "build" / "ohif"
_NOT_NEEDED = ("package/dist/ort/", "package/dist/dicom-microscopy-viewer/")  # three quarters of it: networks in the browser, microscopy

_CONFIG = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "showStudyList": False,
    "maxNumberOfWebWorkers": 2,
    "disableConfirmationPrompts": True,  # opens a Segmentation or a report without asking
    "investigationalUseDialog": {"option": "never"},  # covers a part of the image otherwise
    "defaultDataSourceName": "dicomweb",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "dicomweb",
            "configuration": {
                "friendlyName": "PACS",
                "name": "pacs",
                "qidoRoot": "/dicom-web",
                "wadoRoot": "/dicom-web",
                "qidoSupportsIncludeField": False,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "omitQuotationForMultipartRequest": True,
                "bulkDataURI": {"enabled": True, "relativeResolution": "studies"},
            },
        }
    ],
}


class CannotBeFetched(Exception):
    """OHIF isn't here and can't be had."""


def fetch() -> Path:
    """The folder of the built site; from the package registry the first time. Raises CannotBeFetched."""
    site = _CACHE / VERSION
    if not site.is_dir():
        _CACHE.mkdir(parents=True, exist_ok=True)
        _unpack(_download(), site)
    return site


def _download() -> Path:
    if not shutil.which("npm"):
        raise CannotBeFetched("npm isn't installed")
    package = f"@ohif/app@{VERSION}"
    try:
        done = subprocess.run(
            ["npm", "pack", package, "--silent", "--pack-destination", _CACHE], capture_output=True, text=True, timeout=240, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
        raise CannotBeFetched(f"npm can't fetch {package}: {exc}") from exc
    return _CACHE / done.stdout.split()[-1]


def _unpack(package: Path, site: Path) -> None:
    """Whole or not at all: another process may be at the same."""
    with tarfile.open(package) as archive:
        members = [m for m in archive if m.name.startswith("package/dist/") and not m.name.startswith(_NOT_NEEDED)]
        unpacked = _CACHE / f"unpacking-{threading.get_native_id()}"
        archive.extractall(unpacked, members, filter="data")
    (unpacked / "package/dist").rename(site)
    shutil.rmtree(unpacked)
    package.unlink()


@contextmanager
def served(site: Path, port: int, pacs_url: str) -> Iterator[str]:
    """The site's address for as long as it is served."""

    class Handler(_Handler):
        folder, pacs = site, pacs_url

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    folder: Path
    pacs: str
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments):
        super().__init__(*arguments, directory=str(self.folder))

    def do_GET(self):
        if self.path.startswith("/dicom-web/"):
            self._pass_on()
        elif self.path.startswith("/app-config.js"):
            self._answer(200, "application/javascript", f"window.config = {json.dumps(_CONFIG)};".encode())
        else:
            if not (self.folder / self.path.split("?")[0].lstrip("/")).is_file():
                self.path = "/index.html"  # its own routes, for instance /viewer
            super().do_GET()

    def end_headers(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")  # both: SharedArrayBuffer, which it decodes with
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_arguments):
        """Nothing: pytest shows what a failing test needs."""

    def _pass_on(self):
        request = urllib.request.Request(self.pacs + self.path, headers={"Accept": self.headers.get("Accept", "*/*")})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                self._answer(answer.status, answer.headers.get("Content-Type", ""), answer.read())
        except urllib.error.HTTPError as error:
            self._answer(error.code, "text/plain", error.read())

    def _answer(self, status, content_type, body):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
