"""The feedback widget in a real browser, in the page of another site with a strict content policy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from headrace.app.business.kpis import around_answer
from headrace.app.labels.opinions import offer
from tests.pace import until
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome
from tests.web.prompted import HELLO, PROJECT, USER, Desk, client

pytestmark = pytest.mark.browser
TEXT = "You may return it within thirty days of the purchase."
SHOP = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<script src="{url}/static/feedback.js" defer></script></head>
<body><main><h1>Help</h1><p id="answer">{text}</p>
<headrace-feedback token="{token}" answer="#answer" question="May I return it?">
</headrace-feedback></main></body></html>"""


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


class Hall(BaseHTTPRequestHandler):
    """Another site: a browser lets no page of its own into what is on this machine, unless one is served."""

    pages: ClassVar[dict[str, tuple[str, str]]] = {}

    def do_GET(self) -> None:
        """One of the pages; no favicon."""
        page, url = self.pages.get(self.path, ("", ""))
        self.send_response(200 if page else 204)
        self.send_header("content-type", "text/html")
        policy = f"default-src 'none'; script-src {url}; connect-src {url}"
        self.send_header("content-security-policy", policy)
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def hall() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hall) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


class Shop:
    """One answer in the page of a shop."""

    def __init__(self, browser: Browser, desk: Desk, hall: str, scheme: Literal["light", "dark"] = "light",
                 size: tuple[int, int] = DESK) -> None:  # fmt: skip
        self.desk = desk
        self.complaints: list[str] = []
        raw = client(desk).chat.completions.with_raw_response.create(model=PROJECT, messages=HELLO)
        self.answer = raw.headers["headrace-answer"]
        self.token = offer(desk.app, desk.app.identities.resolve(USER), PROJECT, self.answer).token
        self.context: BrowserContext = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            permissions=["clipboard-read", "clipboard-write"],
        )
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.set_default_timeout(15_000)
        Hall.pages[f"/{self.answer}"] = SHOP.format(url=desk.url, text=TEXT, token=self.token), desk.url
        self.page.goto(f"{hall}/{self.answer}")

    def told(self) -> dict[str, Any]:
        rows = around_answer(self.desk.app, self.desk.app.me(), PROJECT, self.answer)
        return {one.name: one.text or one.value for one in rows[0].feedback}

    def leave(self) -> None:
        self.page.goto("about:blank")
        until(lambda: "dwell_s" in self.told())


@pytest.mark.requirement("FBK-01")
def test_thumbs_and_a_comment_by_keyboard(browser: Browser, desk: Desk, hall: str) -> None:
    shop = Shop(browser, desk, hall)
    page = shop.page
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="No")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="No")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("status")).to_have_text("Thank you.")
    expect(page.get_by_label("What was good or wrong")).to_be_focused()
    page.keyboard.type("It was fourteen days.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status")).to_have_text("Thank you. Your comment was sent.")
    expect(page.get_by_role("button", name="No")).to_be_focused()
    assert {"thumbs_down": 1.0, "comment": "It was fourteen days."}.items() <= shop.told().items()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_role("status")).to_have_text("Thank you.")
    page.keyboard.press("Escape")
    expect(page.get_by_label("What was good or wrong")).to_be_hidden()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_role("status")).to_have_text("Taken back.")
    assert shop.told()["thumbs_up"] == 0.0
    assert shop.complaints == []


@pytest.mark.requirement("FBK-02")
def test_what_a_reader_does_without_saying_it_is_told(browser: Browser, desk: Desk, hall: str) -> None:
    shop = Shop(browser, desk, hall)
    page = shop.page
    page.wait_for_timeout(1_100)
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#answer'))")
    page.keyboard.press("Control+c")
    asking = "(text) => document.querySelector('headrace-feedback').%s(text)"
    page.evaluate(asking % "used", TEXT.replace("thirty", "fourteen").replace("within", "for"))
    page.evaluate(asking % "asked", "May I return it, please?")
    page.evaluate(asking % "asked", "may i return it")
    shop.leave()
    found = shop.told()
    assert found.pop("dwell_s") >= 1.0
    assert found == {"copied": 1.0, "edit_distance": 0.2, "rephrased": 1.0, "retried": 1.0, "abandoned": 0.0}
    assert shop.complaints == []


@pytest.mark.requirement("FBK-02")
def test_whoever_leaves_at_once_has_abandoned_the_answer(browser: Browser, desk: Desk, hall: str) -> None:
    shop = Shop(browser, desk, hall)
    shop.page.evaluate("document.querySelector('headrace-feedback').asked('What does it cost?')")
    unasked = Shop(browser, desk, hall)
    for one in (shop, unasked):
        one.leave()
    assert (shop.told()["abandoned"], unasked.told()["abandoned"]) == (0.0, 1.0)


def test_nothing_that_is_not_said_is_told_where_the_page_wants_it_so(
    browser: Browser, desk: Desk, hall: str
) -> None:
    shop = Shop(browser, desk, hall)
    with_it = "document.querySelector('headrace-feedback').outerHTML"
    again = "(text) => { document.querySelector('headrace-feedback').outerHTML = text }"
    shop.page.evaluate(again, shop.page.evaluate(with_it).replace("answer=", "explicit answer="))
    shop.page.get_by_role("button", name="Yes").click()
    expect(shop.page.get_by_role("status")).to_have_text("Thank you.")
    before = set(shop.told())
    shop.page.goto("about:blank")
    assert set(shop.told()) == before


def test_what_could_not_be_sent_stays_and_is_said(browser: Browser, desk: Desk, hall: str) -> None:
    shop = Shop(browser, desk, hall)
    shop.context.route(f"{desk.url}/feedback", lambda route: route.fulfill(status=503))
    shop.page.get_by_role("button", name="Yes").click()
    expect(shop.page.get_by_role("status")).to_have_text("That could not be sent. Try again.")
    expect(shop.page.get_by_role("button", name="Yes")).to_have_attribute("aria-pressed", "false")
    shop.context.unroute(f"{desk.url}/feedback")
    shop.page.get_by_role("button", name="Yes").click()
    expect(shop.page.get_by_role("status")).to_have_text("Thank you.")


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE)]
)
def test_everybody_can_read_and_hit_it(
    browser: Browser, desk: Desk, hall: str, scheme: Literal["light", "dark"], size: tuple[int, int]
) -> None:
    shop = Shop(browser, desk, hall, scheme, size)
    shop.page.get_by_role("button", name="No").click()
    expect(shop.page.get_by_label("What was good or wrong")).to_be_visible()
    assert shop.page.evaluate(FAULTS) == []
    inside = CONTRAST.replace("document.body", "document.querySelector('headrace-feedback').shadowRoot")
    assert shop.page.evaluate(inside) == []
    assert shop.complaints == []
