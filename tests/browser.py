"""Looks at pages as a person would: in Chromium, on a phone and on a desktop, in light and in dark.

What nobody should ever meet fails the test that looked: an error in the console, a request to anywhere but the page's
own directory, text that runs out of the screen sideways, anything that axe-core finds.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SCREENSHOTS = os.environ.get("GRADING_SCREENSHOTS")
AXE = Path(sys.prefix, "node/axe-core/axe.min.js")
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic")

AXE_RUN = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations.map(found => {
    const where = found.nodes.slice(0, 3).map(node => node.html.slice(0, 200));
    return `${found.id}: ${found.help}: ${where.join(' | ')}`;
})"""
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@contextmanager
def chromium() -> Iterator[Browser]:
    """One for several tests."""
    found = [
        place for name in ("chromium", "chromium-browser", "google-chrome") if (place := shutil.which(name))
    ]
    if not found or not AXE.is_file():
        pytest.fail("Chromium or axe-core is not there: run scripts/bootstrap")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0], args=QUIET)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Looker:
    """Opens pages. `complaints` are collected until the test ends, for what happens after a click counts too."""

    browser: Browser
    axe: str = field(default_factory=AXE.read_text)
    complaints: list[str] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)

    def __call__(
        self, path: Path, *, fragment: str = "", scripts: bool = True, root: Path | None = None
    ) -> Page:
        """The page at desktop size and in light, after it was looked at in every size and scheme.

        `root`: the directory that it may ask for files of; its own if not given.
        """
        page = self.open(path, fragment=fragment, scripts=scripts, root=root)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            for size, (width, height) in SIZES.items():
                page.set_viewport_size({"width": width, "height": height})
                self.inspect(page, f"{path.name}, {size}, {scheme}", scripts=scripts)
        page.emulate_media(color_scheme="light")
        return page

    def open(self, path: Path, *, fragment: str = "", scripts: bool = True, root: Path | None = None) -> Page:
        """The page as it is, without a look at it in every size."""
        context = self.browser.new_context(java_script_enabled=scripts, reduced_motion="reduce")
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        self.pages.append(page)
        page.on("console", lambda said: self._said(path, said.type, said.text))
        page.on("pageerror", lambda error: self.complaints.append(f"{path.name}: {error}"))
        page.on("request", lambda request: self._asked(path, root or path.parent, request))
        page.goto(path.absolute().as_uri() + fragment)
        return page

    def inspect(self, page: Page, where: str, scripts: bool = True) -> None:
        """What is wrong with a page as it stands now. axe-core is a script itself."""
        if (wide := page.evaluate(TOO_WIDE)) > 0:
            self.complaints.append(f"{where}: {wide} pixels wider than the screen")
        if scripts:
            if page.evaluate("() => typeof axe === 'undefined'"):
                page.evaluate(self.axe)
            self.complaints += [f"{where}: {found}" for found in page.evaluate(AXE_RUN)]
        if SCREENSHOTS:
            name = re.sub(r"[^\w.-]+", "-", where)
            page.screenshot(path=Path(SCREENSHOTS, f"{name}.png"), full_page=True)

    def close(self) -> None:
        for page in self.pages:
            page.context.close()
        assert not self.complaints, "\n".join(self.complaints)

    def _said(self, path: Path, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{path.name}: the console says: {text}")

    def _asked(self, path: Path, root: Path, request: Request) -> None:
        if not request.url.startswith((f"{root.absolute().as_uri()}/", "data:", "blob:")):
            self.complaints.append(f"{path.name}: asked for {request.url[:200]}")
