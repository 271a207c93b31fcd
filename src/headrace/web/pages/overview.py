"""``/``: is any model unwell, and which first? Every project in a line, the most urgent on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from headrace.app.overviews.fleet import Overview, overview
from headrace.app.overviews.glance import Glance
from headrace.web.identity import principal_of
from headrace.web.pages.formats import ago
from headrace.web.pages.paging import page_number
from headrace.web.pages.rendering import parts_of, renderer_of
from headrace.web.pages.series import Spark, spark

_A_PAGE = 50
_MANY = 300
"""So many characters of words are looked for; an address holds no more."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One project at a glance, and its small lines: calls of the last day by hour, loss by window."""

    glance: Glance
    age: str
    calls: Spark | None
    change: str
    losses: Spark | None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the address asks for."""

    words: str
    state: str
    page: int = 1

    def address(self, **changes: Any) -> str:
        """The address of the same with ``changes``; what is empty is left out."""
        given = {"words": self.words, "state": self.state, "page": self.page} | changes
        text = urlencode({name: value for name, value in given.items() if value not in ("", 1)})
        return f"/?{text}" if text else "/"

    def file(self, form: str) -> str:
        """The address of the numbers behind it, all pages together."""
        return "/fleet." + form + self.address(page=1).removeprefix("/")


def show(request: Request) -> Response:
    """The fleet."""
    wanted, found = asked(request)
    n_pages = max(-(-len(found.projects) // _A_PAGE), 1)
    wanted = Wanted(words=wanted.words, state=wanted.state, page=min(wanted.page, n_pages))
    shown = found.projects[(wanted.page - 1) * _A_PAGE : wanted.page * _A_PAGE]
    now = parts_of(request).app.clock.now()
    lines = [
        Line(
            glance=one,
            age="" if one.live_since is None else ago(one.live_since, now),
            calls=None if one.calls is None else spark([float(n) for n in one.calls.hours], width=96),
            change=_change(one),
            losses=spark(one.losses, reference=_reference(one), width=96),
        )
        for one in shown
    ]
    return renderer_of(request).page(
        request, "overview.html", lines=lines, found=found, wanted=wanted, n_pages=n_pages
    )


def asked(request: Request) -> tuple[Wanted, Overview]:
    """What the address asks for, and what there is of it.

    Raises:
        InvalidInput: there is no such state or page.
    """
    words, state = request.query_params.get("words", "").strip(), request.query_params.get("state", "")
    wanted = Wanted(words=words[:_MANY], state=state, page=page_number(request))
    app, me = parts_of(request).app, principal_of(request.scope)
    return wanted, overview(app, me, words=wanted.words, state=wanted.state)


def fleet_rows(glances: Sequence[Glance]) -> list[dict[str, Any]]:
    """One row per project, the most urgent first."""
    return [
        {
            "project": one.name,
            "state": one.state,
            "why": "; ".join(reason.text for reason in one.reasons),
            "health": one.health,
            "owner": one.owner,
            "risk": one.risk,
            "tags": " ".join(one.tags),
            "live": one.live,
            "live_id": one.live_id,
            "live_since": None if one.live_since is None else one.live_since.isoformat(),
            "calls_last_day": None if one.calls is None else one.calls.last_day,
            "calls_week_before": None if one.calls is None else one.calls.week_before,
            "inputs_shifted": None if one.drift is None else one.drift.shifted,
            "inputs_compared": None if one.drift is None else one.drift.compared,
            "inputs_uncompared": one.uncompared,
            "metric": None if one.loss is None else one.loss.name,
            "value": None if one.loss is None else one.loss.value,
            "low": None if one.loss is None or one.loss.interval is None else one.loss.interval[0],
            "high": None if one.loss is None or one.loss.interval is None else one.loss.interval[1],
            "n_labels": None if one.loss is None else one.loss.n_rows,
            "reference": _reference(one),
            "open_alerts": one.open_alerts,
            "drafts_waiting": one.backlog.get("draft", 0),
            "handoffs_waiting": one.backlog.get("handoff", 0),
            "failing_day": None if one.service is None else one.service.failing_day,
            "model_p99_ms": None if one.service is None else one.service.p99_ms,
            "availability": None if one.service is None else one.service.availability,
            "budget_left": None if one.service is None else one.service.left,
        }
        for one in glances
    ]


def _reference(one: Glance) -> float | None:
    return None if one.loss is None else one.loss.detail.get("reference")


def _change(one: Glance) -> str:
    """Calls against the week before, in words."""
    if one.calls is not None and one.calls.so_far:
        return "so far"
    if one.calls is None or one.calls.week_before is None:
        return ""
    if not one.calls.week_before:
        return "none the week before"
    share = (one.calls.last_day - one.calls.week_before) / one.calls.week_before
    rounded = round(100 * share)
    return f"{rounded:+d} % on a week before".replace("-", "−") if rounded else "as a week before"
