"""``/audit``: who did what, and whether the log still is as it was written."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from headrace.app import auditing
from headrace.core.canonical import plain
from headrace.core.identity import AuditEntry
from headrace.web.identity import principal_of
from headrace.web.pages.rendering import parts_of, renderer_of

_SHOWN = 100
_MOST_TEXT = 200


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
        text=text,
        begins=not before,
        verification=verification,
    )


def _facts(entry: AuditEntry) -> list[tuple[str, str]]:
    """The detail as pairs of words; what is nested is written as one line."""
    return [(name, _line(value)) for name, value in entry.detail.items() if value not in (None, "", [], {})]


def _line(value: object) -> str:
    match plain(value):
        case list() as items:
            return ", ".join(map(str, items))
        case dict() as items:
            return ", ".join(f"{name} {item}" for name, item in items.items())
        case other:
            return str(other)
