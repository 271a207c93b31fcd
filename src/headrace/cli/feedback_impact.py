"""``headrace feedback impact``: how people get on with each release, and what changed with it."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.overviews.impact import impact
from headrace.checks.fairness import Share
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.monitoring.impact import Change


def show_impact(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Show how people get on with each release, and what changed from one to the next."""
    with session(as_name) as s:
        found = impact(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        (
            "RELEASE",
            "SINCE",
            "ANSWERS",
            "POOR",
            "ERRORS",
            "SESSIONS",
            "ANSWERS EACH",
            "LASTED",
            "PRAISE",
            "BLAME",
        ),
        [
            (
                one.release_id[:13],
                f"{one.first:%Y-%m-%d}",
                one.n_answers,
                _share(one.rates["poor"]),
                _share(one.rates["errors"]),
                one.sessions,
                "" if one.turns is None else f"{one.turns:.1f}",
                "" if one.lasted_s is None else f"{one.lasted_s:.0f} s",
                one.comments["positive"],
                one.comments["negative"],
            )
            for one in found.releases
        ],
        empty="Nothing was answered yet.",
    )
    if found.changes:
        say("")
        _print(found.changes)


def _print(changes: list[Change]) -> None:
    print_table(
        ("CHANGE TO", "FROM", "RATE", "BEFORE", "AFTER", "DIFFERENCE", "INTERVAL", ""),
        [
            (
                change.after[:13],
                change.before[:13],
                one.rate.replace("_", " "),
                _share(one.before),
                _share(one.after),
                f"{one.difference:+.1%}",
                f"{one.interval[0]:+.1%} to {one.interval[1]:+.1%}",
                one.conclusion,
            )
            for change in changes
            for one in change.moved
        ],
        empty="Nothing to compare.",
    )


def _share(share: Share) -> str:
    return "" if share.rate is None else f"{share.rate:.1%} of {share.n:,}"
