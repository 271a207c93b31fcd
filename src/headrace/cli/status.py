"""``headrace status``: how all models are doing, and which needs somebody first."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.overviews.deployed import plan_differences
from headrace.app.overviews.fleet import Overview, overview
from headrace.app.overviews.glance import Calls, Glance
from headrace.app.overviews.reading import projects
from headrace.app.overviews.unreleased import as_written, unreleased
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.cli.unreleased import print_unreleased
from headrace.core.canonical import plain

app = typer.Typer(add_completion=False)
_SAID = {"act": "needs someone", "watch": "watched", "fine": "fine", "idle": "not live"}


@app.command()
def status(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORD]...", help="Only projects of which each is said: name, owner, tag, health."
        ),
    ] = None,
    state: Annotated[str, typer.Option(help="Only those in this state: act, watch, fine or idle.")] = "",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """How all models are doing, the most urgent first: what is live, and why somebody is needed."""
    with session(as_name) as s:
        found = overview(s.app, s.me, words=" ".join(words or ()), state=state)
        listed = {one.name for one in found.projects}
        declared = [as_written(s.app, one) for one in projects(s.app, s.me) if one.name in listed]
        differs = plan_differences(s.app, declared)
        kept_back = unreleased(s.app, declared)
    if as_json:
        print_json(plain(found) | {"differs": differs, "unreleased": kept_back})
        return
    say(f"Server   {found.server or 'not running; start it with: headrace up'}")
    for one in found.lost:
        address = one.address or one.executor_id
        say(
            f"Lost     {address}, not heard of since {one.seen_at:%Y-%m-%d %H:%M} UTC; none came in its place"
        )
    say(f"Models   {_counted(found)}")
    print_table(
        (
            "PROJECT",
            "STATE",
            "WHY",
            "HEALTH",
            "LIVE",
            "SINCE",
            "CALLS 24 H",
            "SHIFTED",
            "LOSS",
            "BUDGET LEFT",
        ),
        [_line(one) for one in found.projects],
        empty="No project is like that."
        if words or state
        else "No project yet. Make one with 'headrace init'.",
    )
    for name, some in differs.items():
        for difference in some:
            say(f"{name} is deployed otherwise: {difference}")
    for name, changed in kept_back.items():
        say(f"{name} has settings in headrace.yaml that are not released")
        print_unreleased(name, changed)


def _counted(found: Overview) -> str:
    words = {
        "act": ("needs someone", "need someone"),
        "watch": ("is watched", "are watched"),
        "fine": ("is fine", "are fine"),
        "idle": ("is not live", "are not live"),
    }
    return ", ".join(f"{n} {words[name][n != 1]}" for name, n in found.counts.items())


def _line(one: Glance) -> tuple[str | None, ...]:
    more = f" (and {len(one.reasons) - 1} more)" if len(one.reasons) > 1 else ""
    return (
        one.name,
        _SAID[one.state],
        one.reasons[0].text + more if one.reasons else one.uncompared,
        one.health,
        one.live,
        None if one.live_since is None else f"{one.live_since:%Y-%m-%d}",
        _calls(one.calls),
        None if one.drift is None else f"{one.drift.shifted} of {one.drift.compared}",
        None if one.loss is None or one.loss.value is None else f"{one.loss.value:.4g} {one.loss.name}",
        None if one.service is None or one.service.left is None else f"{one.service.left:.0%}",
    )


def _calls(calls: Calls | None) -> str | None:
    if calls is None:
        return None
    if calls.so_far:
        return f"{calls.last_day:,} so far"
    return f"{calls.last_day:,}" + (
        "" if calls.week_before is None else f" (week before {calls.week_before:,})"
    )
