"""Lists in pages."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from headrace.core.errors import InvalidInput
from headrace.web.pages.paging import page_of


def request(query: str = "") -> Request:
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": "/projects/a/drafts", "query_string": query.encode(),
        "headers": [], "server": ("localhost", 80), "scheme": "http",
    }  # fmt: skip
    return Request(scope)


def test_a_page_has_its_rows_and_knows_those_beside_it() -> None:
    rows = list(range(45))
    page = page_of(request("waiting=2&draft=d%261"), rows, "waiting")
    assert (list(page.rows), page.n, page.n_pages) == (rows[20:40], 45, 3)
    assert page.before == "/projects/a/drafts?waiting=1&draft=d%261#waiting"
    assert page.after == "/projects/a/drafts?waiting=3&draft=d%261#waiting"
    last = page_of(request("waiting=99"), rows, "waiting")
    assert (list(last.rows), last.number, last.after) == (rows[40:], 3, "")
    other = page_of(request("waiting=2"), rows, "decided")
    assert (other.number, other.before) == (1, "")
    assert page_of(request(), [], "waiting").n_pages == 1


@pytest.mark.parametrize("asked", ["0", "-1", "x", "²", "1000000", ""])
def test_what_is_no_page_is_refused(asked: str) -> None:
    with pytest.raises(InvalidInput, match="Pages have numbers from 1 on"):
        page_of(request(f"waiting={asked}"), [1], "waiting")
