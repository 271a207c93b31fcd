"""The page on which somebody who was asked decides, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, cast

import pytest
from playwright.sync_api import Browser, expect

from headrace.core.ports import Channel
from headrace.testing import MemoryChannel
from headrace.web.server import Server
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.conftest import Site
from tests.web.making import VALIDATOR
from tests.web.test_asked import asked_by_mail

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE)]
)
def test_the_question_can_be_read_and_is_answered_with_the_keyboard(
    browser: Browser,
    own_site: Site,
    listen: Callable[[Server], str],
    scheme: Literal["light", "dark"],
    size: tuple[int, int],
) -> None:
    site, mail = own_site, MemoryChannel(personal=True)
    cast(dict[str, Channel], site.app.channels)["email"] = mail
    path = asked_by_mail(site, mail)
    tab = visit(browser, site, listen(site.server), by=VALIDATOR, scheme=scheme, size=size)
    page = tab.open(path)
    assert [path, *page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == [path]
    page.get_by_label("Comment, kept with the decision").fill("looks right")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Approve")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/releases/**")
    assert site.app.store.releases.get(site.seeded.waiting).state == "rolling_out"
