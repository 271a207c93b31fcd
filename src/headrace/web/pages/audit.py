"""``/audit``: who did what, and whether the log still is as it was written."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from headrace.app.governance import auditing
from headrace.core.canonical import plain
from headrace.core.identity import AuditEntry
from headrace.core.text import printable
from headrace.web.identity import principal_of
from headrace.web.pages.rendering import parts_of, renderer_of

_SHOWN = 100
_MOST_TEXT = 200
_DIGEST = re.compile("[0-9a-f]{64}")
_PAGES = {
    "project": "/projects/",
    "release": "/releases/",
    "incident": "/incidents/",
    "principal": "/access/",
}
"""Where resources of these kinds have a page."""


def show(request: Request) -> Response:
    """The newest entries, or those that hold a text."""
    return _page(request, None)


async def verify(request: Request) -> Response:
    """Recompute the chain, and say what it came to above the entries."""
    parts, me = parts_of(request), principal_of(request.scope)
    verification = await run_in_threadpool(auditing.verify, parts.app, me)
    return await run_in_threadpool(_page, request, verification)


def _page(request: Request, verification: auditing.Verification | None) -> Response:
    app, me = parts_of(request).app, principal_of(request.scope)
    text = request.query_params.get("text", "")[:_MOST_TEXT].strip()
    before = request.query_params.get("before", "")
    found = auditing.search(
        app, me, text, before=int(before) if before.isdecimal() and len(before) < 16 else None, limit=_SHOWN
    )
    return renderer_of(request).page(
        request,
        "audit.html",
        found=found,
        facts={entry.sequence: _facts(entry) for entry in found.entries},
        sealing=auditing.sealing(app, me),
        path_of=_path_of,
        printable=printable,
        text=text,
        begins=not before,
        verification=verification,
    )


def _path_of(resource: str) -> str | None:
    """Where what an entry is about has a page of its own."""
    kind, _, name = resource.partition(":")
    return _PAGES[kind] + quote(name, safe="") if kind in _PAGES and name else None


class Fact(NamedTuple):
    """One part of a detail, in words."""

    name: str
    text: str

    @property
    def is_digest(self) -> bool:
        """Whether its first letters say enough."""
        return _DIGEST.fullmatch(self.text) is not None


def _facts(entry: AuditEntry) -> list[Fact]:
    """The detail as pairs of words; what is nested is written as one line, and nothing can turn it round."""
    shown = {name: value for name, value in entry.detail.items() if value not in (None, "", [], {})}
    return [Fact(printable(name), printable(_line(value))) for name, value in shown.items()]


def _line(value: object) -> str:
    match plain(value):
        case list() as items:
            return ", ".join(map(str, items))
        case dict() as items:
            return ", ".join(f"{name} {item}" for name, item in items.items())
        case other:
            return str(other)
