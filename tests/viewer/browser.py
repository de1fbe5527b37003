"""A headless Chromium that looks at OHIF: what is in the viewer's state, and what it draws."""

from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from cad_node.findings import Point

CHROMIUM = Path("/usr/bin/chromium")
PICTURES = Path(__file__).resolve().parents[2] / "build" / "viewer"
WIDTH, HEIGHT = 1300, 900

_FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--use-gl=angle",  # these four: WebGL without a graphics card
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)
# OHIF's own, while it loads a structure set: a timer of a jump, 40 ms, finds another viewport in the place of its own.
_OF_A_TIMER = "viewport has been destroyed"
_LIMIT_MS = 60_000  # for a state to come, on a machine that does other things too

# What the viewer shows is there: each place of its grid has something to show, nothing is being loaded, images are drawn.
_SETTLED = """() => {
  const grid = window.services?.viewportGridService;
  if (!grid?.serviceImplementation._getState || /Loading|Retrieving/.test(document.body.innerText)) return false;
  const places = [...grid.getState().viewports.values()];
  const engine = window.cornerstone?.getRenderingEngines()[0];
  return places.length > 0 && places.every(place => place.displaySetInstanceUIDs.length > 0)
    && (engine?.getViewports() ?? []).every(viewport => viewport.viewportStatus === 'rendered');
}"""
_MODALITIES = """() => [...window.services.viewportGridService.getState().viewports.values()].flatMap(place =>
  place.displaySetInstanceUIDs.map(uid => window.services.displaySetService.getDisplaySetByUID(uid).Modality))"""
_VIEWPORT = "window.cornerstone.getRenderingEngines()[0].getViewports()[0]"
_IMAGE_SHOWN = f"() => {_VIEWPORT}?.viewportStatus === 'rendered' && {_VIEWPORT}.getImageIds().length > 0"
# Asked again and again: what the viewer itself jumps to, once it has loaded something, would win otherwise; and it may put
# another viewport in the place of the one that was asked.
_SLICE_SHOWN = f"""z_mm => {{
  const viewport = {_VIEWPORT};
  const z = id => window.cornerstone.metaData.get('imagePlaneModule', id).imagePositionPatient[2];
  if (Math.abs(z(viewport.getCurrentImageId()) - z_mm) < 0.01) return viewport.viewportStatus === 'rendered';
  if (viewport.jumpToWorld) // images fused with others
    viewport.jumpToWorld([0, 0, z_mm]);
  else
    viewport.setImageIdIndex(viewport.getImageIds().findIndex(id => Math.abs(z(id) - z_mm) < 0.01))
      .then(() => viewport.render()).catch(() => undefined);
  return false;
}}"""


_FRAME_SHOWN = f"""index => {{
  const viewport = {_VIEWPORT};
  if (viewport.getCurrentImageIdIndex() === index) return viewport.viewportStatus === 'rendered';
  viewport.setImageIdIndex(index).then(() => viewport.render()).catch(() => undefined);
  return false;
}}"""


@contextmanager
def chromium() -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
        context.add_init_script(
            "window.localStorage?.setItem('shownTours', JSON.stringify(['basicViewerTour']))"
        )  # covers the image otherwise
        yield context
        browser.close()


class Viewer:
    """OHIF with one series opened by deep link."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.errors: list[str] = []  # what its scripts threw and nobody caught
        page.on("pageerror", lambda error: None if _OF_A_TIMER in str(error) else self.errors.append(str(error)))

    def open(self, url: str, study_instance_uid: str, series_instance_uid: str) -> None:
        link = f"{url}/viewer?StudyInstanceUIDs={study_instance_uid}&initialSeriesInstanceUID={series_instance_uid}"
        for attempt in (1, 2):
            try:
                self._page.goto(link, timeout=_LIMIT_MS)
                self.wait_for(_SETTLED)
                return
            except PlaywrightTimeoutError:
                if attempt == 2:
                    raise

    def wait_for(self, script: str, argument: Any = None) -> None:
        """Until `script`, a function in JavaScript, says true. Raises playwright's TimeoutError."""
        self._page.wait_for_function(script, arg=argument, timeout=_LIMIT_MS)

    def ask(self, script: str, argument: Any = None) -> Any:
        return self._page.evaluate(script, argument)

    def wait_for_text(self, text: str) -> None:
        """Until it can be read on the page."""
        self.wait_for("text => document.body.textContent.includes(text)", text)

    def shown_modalities(self) -> list[str]:
        """Of the series in the viewer's places."""
        return list(self.ask(_MODALITIES))

    def show_frame(self, number: int) -> None:
        """Of an object of many frames, from 1."""
        self.wait_for(_FRAME_SHOWN, number - 1)

    def show_slice(self, z_mm: float) -> None:
        """The image of the shown series that lies at z_mm."""
        self.wait_for(_SLICE_SHOWN, z_mm)

    def to_canvas(self, points_lps_mm: Sequence[Point]) -> NDArray[np.float64]:
        """(point, (column, row)) in pixels of picture()."""
        return np.array(
            self.ask(f"points => points.map(point => [...{_VIEWPORT}.worldToCanvas(point)])", [list(map(float, p)) for p in points_lps_mm])
        )

    def picture(self) -> NDArray[np.uint8]:
        """(row, column, RGB) of the image with what is drawn into it; text and lines that lie over it are not in it."""
        self._drawn()
        png = self.ask(f"() => {_VIEWPORT}.getCanvas().toDataURL('image/png')").partition(",")[2]
        return np.asarray(Image.open(BytesIO(b64decode(png))).convert("RGB"))

    def screen(self) -> NDArray[np.uint8]:
        """(row, column, RGB) of the whole page, and with it what lies over the image; slow."""
        return np.asarray(Image.open(BytesIO(self._page.screenshot())).convert("RGB"))

    def image_corner(self) -> tuple[int, int]:
        """(row, column) of screen() at which picture() begins."""
        x, y = self.ask(f"() => {{ const box = {_VIEWPORT}.getCanvas().getBoundingClientRect(); return [box.x, box.y]; }}")
        return round(y), round(x)

    def close(self, picture: Path) -> None:
        """Keeps a picture of the whole page for people."""
        picture.parent.mkdir(parents=True, exist_ok=True)
        self._page.screenshot(path=picture)
        self._page.close()

    def _drawn(self) -> None:
        """Until what has been asked for is on the screen: two frames after it was rendered."""
        self.wait_for(_IMAGE_SHOWN)
        self.ask("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
