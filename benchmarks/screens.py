"""Pictures of every page in both sizes and themes, to be looked at; and those of README.md.

    python -m benchmarks.screens FOLDER                  # 168 pictures: all of a page each
        [--only QUESTION ...] [--page NAME ...]          # those of some questions, of some pages
    python -m benchmarks.screens --readme docs/images    # the six that README.md shows

The questions are the first six of `benchmarks.pages`: what people with a 3090, a Mac, a DGX Spark, a
Strix Halo and eight H100 ask, and one that does not fit.
"""

from __future__ import annotations

import argparse
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from benchmarks.pages import PAGES, QUESTIONS
from benchmarks.web_server import PATIENCE, browsing, complete, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
"""Pixels of what a visitor sees at once."""

SCHEMES = ("light", "dark")

ASKED = tuple(QUESTIONS)[:6]
"""Names of the questions whose pages are taken."""

TALLEST = 5000
"""Pixels of a page in one picture; the rest is cut."""

_HEIGHT = "document.querySelector('[data-testid=stMain]').scrollHeight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """One picture.

    Attributes:
        page: name in the address; empty for the first.
        query: the question, as an address asks it.
        size: name in `SIZES`.
        scheme: light or dark.
    """

    page: str
    query: dict[str, str | int]
    size: str = "desktop"
    scheme: str = "light"

    @property
    def path(self) -> str:
        """The page's address on its server."""
        return f"/{self.page}?{urlencode({'v': 2, **self.query})}"


def screens(
    asked: Sequence[str] = ASKED, pages: Sequence[str] = PAGES
) -> Iterator[tuple[str, Screen]]:
    """Return every picture with its name: each of the `pages`, size and theme for `asked` questions."""
    for question in asked:
        for page in pages:
            for size in SIZES:
                for scheme in SCHEMES:
                    name = f"{question}-{page or 'run'}-{size}-{scheme}".replace(" ", "-").lower()
                    screen = Screen(page=page, query=QUESTIONS[question], size=size, scheme=scheme)
                    yield name, screen


class Camera:
    """A browser that takes pictures of a server's pages, a context for each size and theme."""

    def __init__(self, browser: Browser, address: str) -> None:
        self._browser, self._address = browser, address
        self._pages: dict[tuple[str, str], Page] = {}

    def open(self, screen: Screen) -> Page:
        """Return the page of a picture, complete."""
        page = self._page(screen)
        width, height = SIZES[screen.size]
        page.set_viewport_size({"width": width, "height": height})
        page.goto(self._address + screen.path)
        page.wait_for_selector('[data-testid="stApp"][data-test-connection-state="CONNECTED"]')
        self._settle(page)
        return page

    def take(self, screen: Screen, path: Path, *, whole: bool = True) -> None:
        """Write one picture: the whole page, or what is seen of it at first."""
        page = self.open(screen)
        if whole:
            width, height = SIZES[screen.size]
            needed = min(TALLEST, max(height, int(page.evaluate(_HEIGHT))))
            page.set_viewport_size({"width": width, "height": needed})
            self._settle(page)
        page.screenshot(path=path)

    def beside(self, paths: Sequence[Path], path: Path) -> None:
        """Write pictures side by side into one."""
        images = (b64encode(one.read_bytes()).decode() for one in paths)
        tags = "".join(f'<img src="data:image/png;base64,{image}">' for image in images)
        sheet = self._browser.new_page(viewport={"width": 10, "height": 10})
        sheet.set_content(f'<body style="margin:0;display:inline-flex;gap:20px">{tags}</body>')
        sheet.locator("body").screenshot(path=path)
        sheet.close()

    def _page(self, screen: Screen) -> Page:
        key = (screen.size, screen.scheme)
        if key not in self._pages:
            context = self._browser.new_context(
                color_scheme="dark" if screen.scheme == "dark" else "light",
                has_touch=screen.size == "phone",
            )
            self._pages[key] = context.new_page()
            self._pages[key].set_default_timeout(PATIENCE * 4)
        return self._pages[key]

    @staticmethod
    def _settle(page: Page) -> None:
        for _ in range(2):  # figures and tables fade in, and parts are fetched when first shown
            complete(page)
            page.wait_for_timeout(300)


_README: dict[str, tuple[Screen, ...]] = {
    "run-it": (Screen(page="", query=QUESTIONS["an RTX 3090"]),),
    "run-it-dark": (Screen(page="", query=QUESTIONS["8x H100 for 200"], scheme="dark"),),
    "what-fits": (Screen(page="fits", query=QUESTIONS["an RTX 3090"]),),
    "explore": (Screen(page="explore", query=QUESTIONS["a Mac of 64 GB"]),),
    "compare": (Screen(page="compare", query=QUESTIONS["an RTX 3090"]),),
    "phone": tuple(
        Screen(page="", query=QUESTIONS[question], size="phone", scheme=scheme)
        for question, scheme in (
            ("a DGX Spark", "light"),
            ("a Mac of 64 GB", "dark"),
            ("does not fit", "light"),
        )
    ),
}
"""Pictures of README.md; several phones stand side by side in one."""


def take_readme(camera: Camera, folder: Path) -> None:
    """Write the pictures of README.md, each as a visitor sees the page at first."""
    for name, wanted in _README.items():
        path = folder / f"{name}.png"
        if len(wanted) == 1:
            camera.take(wanted[0], path, whole=False)
            continue
        with TemporaryDirectory() as parts:
            paths = [Path(parts) / f"{number}.png" for number in range(len(wanted))]
            for screen, part in zip(wanted, paths, strict=True):
                camera.take(screen, part, whole=False)
            camera.beside(paths, path)


def main(argv: Sequence[str] | None = None) -> int:
    """Take the pictures; print the name of each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screens", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where pictures of every page go")
    parser.add_argument("--only", nargs="+", choices=ASKED, default=ASKED, help="questions")
    parser.add_argument(
        "--page", nargs="+", choices=PAGES, default=PAGES, help='pages; "" is the first'
    )
    parser.add_argument("--readme", type=Path, help="where the six of README.md go")
    asked = parser.parse_args(argv)
    with browsing() as browser, served() as address:
        camera = Camera(browser, address)
        if asked.readme is not None:
            take_readme(camera, asked.readme)
        if asked.folder is not None:
            asked.folder.mkdir(parents=True, exist_ok=True)
            for name, screen in screens(asked.only, asked.page):
                camera.take(screen, asked.folder / f"{name}.png")
                print(name, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
