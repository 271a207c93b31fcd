"""Shadow AI in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from headrace.app.llm.shadow_use import import_log
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.conftest import aside, listening
from tests.web.prompted import STRANGER, Desk, prompted
from tests.web.test_shadow import LOG, SQUID

pytestmark = pytest.mark.browser
LONG = "somebody-with-a-very-long-name-of-one-word@department.example.org"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Where a log was read."""
    folder = tmp_path_factory.mktemp("desk")
    with listening() as listen, aside(prompted(folder / "home", listen)) as found:
        yield found


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.fixture(scope="module")
def read(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The same, once a log of its proxy was read."""
    path = tmp_path_factory.mktemp("log") / "access.log"
    long = SQUID.format(at=1772600767, host="bedrock-runtime.eu-central-1.amazonaws.com", user=LONG)
    path.write_text("\n".join([*LOG, long]))
    import_log(desk.app, desk.app.identities.resolve(STRANGER), path)
    return desk


@pytest.mark.requirement("GOV-08")
@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE)]
)
def test_everybody_can_read_it(
    browser: Browser, read: Desk, scheme: Literal["light", "dark"], size: tuple[int, int]
) -> None:
    tab = visit(browser, read, read.url, by=STRANGER, scheme=scheme, size=size)
    page = tab.open("/policy/shadow")
    assert [*page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == []


@pytest.mark.requirement("GOV-08")
def test_it_names_host_user_and_what_to_use_instead(browser: Browser, read: Desk) -> None:
    tab = visit(browser, read, read.url, by=STRANGER)
    page = tab.open("/policy/llm")
    page.get_by_role("link", name="Shadow AI").click()
    row = page.get_by_role("row").filter(has_text="claude.ai")
    expect(row).to_contain_text("bob")
    expect(row).to_contain_text("abroad/small")
    logs = page.get_by_role("region", name="Table: Logs that were read")
    expect(logs).to_contain_text("line 6: it has 3 words")
    assert "very-private" not in page.content()
    assert tab.complaints == []
