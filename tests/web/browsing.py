"""A real Chromium that notes everything a page should not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from tests.web.conftest import Site

DESK, PHONE = (1280, 900), (390, 844)


@dataclass(kw_only=True)
class Visit:
    """One signed-in tab; ``complaints`` are console errors, page errors and requests to other hosts."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Go to a page of the site."""
        self.page.goto(self.url + path)
        return self.page


@contextmanager
def chrome(executable: Path) -> Iterator[Browser]:
    """A headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def visit(
    browser: Browser,
    site: Site,
    url: str,
    *,
    by: str,
    scheme: Literal["light", "dark"] = "light",
    size: tuple[int, int] = DESK,
) -> Visit:
    """Sign ``by`` in with a ticket, in a fresh profile."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    found = Visit(page=page, url=url)
    page.on("console", lambda message: _note(found, message.type, message.text))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda request: _local(found, request.url))
    page.goto(url + site.server.new_ticket(site.app.identities.resolve(by)))
    page.wait_for_url(f"{url}/")
    return found


def _note(found: Visit, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        found.complaints.append(f"{kind}: {text}")


def _local(found: Visit, address: str) -> None:
    if not address.startswith((found.url, "data:", "blob:")):
        found.complaints.append(f"asks {address}")
