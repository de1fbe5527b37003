"""A PACS with studies and results in it, OHIF before it, and a browser to look with: started once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from tests.deliver.peers import unused_port
from tests.e2e.orthanc import MISSING, Orthanc
from tests.viewer.archive import Archived, archive
from tests.viewer.browser import CHROMIUM, PICTURES, Viewer, chromium
from tests.viewer.ohif import CannotBeFetched, fetch, served

Open = Callable[..., Viewer]


@pytest.fixture(scope="session")
def ohif() -> Path:
    """OHIF's own files."""
    if MISSING:
        pytest.skip(f"Debian packages {MISSING} aren't installed")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} isn't there (Debian package chromium)")
    try:
        return fetch()
    except CannotBeFetched as exc:
        pytest.skip(f"no OHIF: {exc}")


@pytest.fixture(scope="session")
def site_and_archive(ohif: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, Archived]]]:
    pacs_port, port = unused_port(), unused_port()
    web = {"Enable": True, "Host": f"127.0.0.1:{port}"}  # as the browser sees it: addresses of bulk data are made of it
    with (
        Orthanc(tmp_path_factory.mktemp("orthanc"), pacs_port, unused_port(), unused_port(), DicomWeb=web) as orthanc,
        served(ohif, port, f"http://127.0.0.1:{pacs_port}") as url,
    ):
        yield url, archive(orthanc)


@pytest.fixture(scope="session")
def archived(site_and_archive: tuple[str, dict[str, Archived]]) -> dict[str, Archived]:
    """By what was found."""
    return site_and_archive[1]


@pytest.fixture(scope="session")
def browser(ohif: Path) -> Iterator[BrowserContext]:
    with chromium() as context:
        yield context


@pytest.fixture
def open_object(site_and_archive: tuple[str, dict[str, Archived]], browser: BrowserContext) -> Iterator[Open]:
    """open_object(study, builder, edition="", number=1) -> a viewer that shows it.

    In the end a picture of it is kept, and no script may have thrown.
    """
    url, all_archived = site_and_archive
    opened: list[tuple[str, Viewer]] = []

    def open_(study: str, builder: str, edition: str = "", number: int = 1) -> Viewer:
        one = all_archived[study]
        viewer = Viewer(browser.new_page())
        opened.append(("-".join(filter(None, (study, builder, edition))).replace(" ", "-"), viewer))
        viewer.open(url, one.case.study_instance_uid, str(one.objects[builder, edition][number - 1].SeriesInstanceUID))
        return viewer

    yield open_
    for name, viewer in opened:
        viewer.close(PICTURES / f"{name}.png")
        assert viewer.errors == []
