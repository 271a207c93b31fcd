"""A real Chromium that notes everything a page should not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.web.conftest import Site
from tests.web.prompted import Desk

# A busy machine may take longer than the five seconds that the library waits.
expect.set_options(timeout=30_000)
DESK, PHONE = (1280, 900), (390, 844)
CONTRAST = """
() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (text) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(rgb(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = (colour) => {
    const part = colour.slice(0, 3).map((value) => {
      const v = value / 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
  };
  const poor = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
    if (!text || node.closest("script, style, svg") || !node.offsetParent) continue;
    const below = ground(node), top = over(rgb(getComputedStyle(node).color), below);
    const [a, b] = [light(top), light(below)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}
"""
"""Texts whose contrast with what is behind them is below 4.5 to 1 (WCAG 2.2, AA)."""
FAULTS = """
() => {
  const found = [], all = (which) => [...document.querySelectorAll(which)];
  const name = (node) => `${node.tagName} ${(node.ariaLabel || node.textContent).trim().slice(0, 40)}`;
  const says = (what, nodes) => found.push(...nodes.map((node) => `${what}: ${name(node)}`));
  if (document.documentElement.scrollWidth > innerWidth) found.push("the page scrolls sideways");
  if (all("h1").length !== 1) found.push(`${all("h1").length} main headings`);
  const levels = all("h1, h2, h3, h4").map((node) => Number(node.tagName[1]));
  if (levels.some((level, at) => at && level > levels[at - 1] + 1)) found.push(`headings ${levels}`);
  says("a head of no row or column", all("th").filter((node) => !node.scope));
  says("no label", all("input:not([type=hidden]), textarea, select").filter((node) => !node.labels.length));
  says("no name", all("a, button, summary").filter((node) => !(node.ariaLabel || node.textContent).trim()));
  says("scrolls out of reach of the keyboard", all(".scroll, .code, pre").filter((node) =>
    node.scrollWidth > node.clientWidth + 1 && node.tabIndex < 0 && !node.ariaHidden));
  says("cut off, and nowhere in full", all("dd, .clip, .big").filter((node) =>
    node.scrollWidth > node.clientWidth + 1 && !node.closest("[title]") && !node.querySelector("[title]")));
  says("too small to hit", all("button:not(.link), a.button, input, select").filter((node) =>
    node.offsetParent && node.getBoundingClientRect().height < 24));
  const ids = all("[id]").map((node) => node.id);
  found.push(...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `two are called ${id}`));
  return found;
}
"""
"""What keeps a page from being read, understood or worked by everybody, as far as a program sees it."""


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
    site: Site | Desk,
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
