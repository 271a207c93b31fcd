"""The bar of a project's pages: the same on each of them, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.browsing import DESK, PHONE, chrome, visit
from tests.web.conftest import aside, listening
from tests.web.prompted import HELLO, PROJECT, PROMPT, STRANGER, Desk, client, prompted

pytestmark = pytest.mark.browser
HERE = f"/projects/{PROJECT}"
TEXTS = ["Prompts", "Budgets", "Guards"]
ALL = ["Project", "Readiness", "Answers", "Traces", "Labelling", "Drafts (1 waits)", "Hand-offs", *TEXTS]


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A project with one answer, which waits for a person."""
    with listening() as listen, aside(prompted(tmp_path_factory.mktemp("bar") / "home", listen)) as desk:
        desk.app.identities.add("dev", ["developer"], actor=desk.app.me().name)
        desk.app.identities.add("vera", ["viewer"], actor=desk.app.me().name)
        desk.release(PROMPT, llm={"oversight": {"faces": "customers"}})
        client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
        yield desk


def bar(page: Page) -> Any:
    return page.get_by_role("navigation", name=f"Pages of {PROJECT}")


def names(page: Page) -> list[str]:
    return [" ".join(one.split()) for one in bar(page).get_by_role("link").all_inner_texts()]


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_every_page_of_a_project_has_the_bar_and_marks_itself_in_it(
    browser: Browser, held: Desk, size: tuple[int, int]
) -> None:
    tab = visit(browser, held, held.url, by="dev", size=size)
    page = tab.open(HERE)
    assert names(page) == ALL
    for name in ALL:
        bar(page).get_by_role("link", name=name, exact=True).click()
        assert names(page) == ALL
        current = bar(page).locator("[aria-current]")
        expect(current).to_have_count(1)
        expect(current).to_have_text(name)
        expect(current).to_have_attribute("aria-current", "page")
        shown = (
            bar(page)
            .get_by_role("link")
            .evaluate_all(
                "all => all.every((one) => { const at = one.getBoundingClientRect();"
                " return at.left >= 0 && at.right <= innerWidth && at.height >= 24; })"
            )
        )
        assert shown, f"{name}: a link of the bar is out of sight, or too small to hit"
    assert tab.complaints == []


def test_the_bar_is_worked_by_keyboard(browser: Browser, held: Desk) -> None:
    page = visit(browser, held, held.url, by="dev").open(f"{HERE}/readiness")
    bar(page).get_by_role("link", name="Readiness").focus()
    for name in ("Answers", "Traces"):
        page.keyboard.press("Tab")
        expect(bar(page).get_by_role("link", name=name)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Traces", level=1)).to_be_visible()


def test_one_trace_stands_below_the_traces(browser: Browser, held: Desk) -> None:
    page = visit(browser, held, held.url, by="dev").open(f"{HERE}/traces")
    page.get_by_role("region", name="Traces").get_by_role("link").first.click()
    current = bar(page).locator("[aria-current]")
    expect(current).to_have_text("Traces")
    expect(current).to_have_attribute("aria-current", "true")


def test_the_bar_lists_what_its_reader_may_open_and_the_page_before_them(
    browser: Browser, held: Desk
) -> None:
    for by, theirs in (("vera", []), (STRANGER, ["Traces"])):
        tab = visit(browser, held, held.url, by=by)
        page = tab.open(HERE)
        assert names(page) == ["Project", "Readiness", *theirs, *TEXTS]
        page = tab.open(f"{HERE}/drafts")
        assert names(page) == ["Project", "Readiness", *theirs, "Drafts (1 waits)", *TEXTS]
