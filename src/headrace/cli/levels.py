"""``headrace serve level``: how much of its declared availability each model has left, downtime counted."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.overviews.service_levels import standings
from headrace.cli.session import As, Json, print_json, print_table, session
from headrace.monitoring.service import Standing
from headrace.monitoring.wording import lasting


def level(
    project: Annotated[str | None, typer.Argument(help="Only this project.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Availability over 30 days, downtime counted, and what is left of the error budget."""
    with session(as_name) as s:
        found = standings(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        (
            "PROJECT",
            "AVAILABLE",
            "DECLARED",
            "BUDGET LEFT",
            "WITHOUT A SERVER",
            "FAILED",
            "OBSERVED",
            "MODEL P99",
        ),
        [_line(one) for one in found],
        empty="No full hour has been counted yet: it begins with the first hour after a model went live.",
    )


def _line(one: Standing) -> tuple[str | None, ...]:
    budget = None
    if one.left is not None and one.allowed_s is not None and one.used_s is not None:
        budget = f"{one.left:.0%} ({one.used_s / 60:.1f} of {one.allowed_s / 60:.1f} min used)"
    return (
        one.project,
        None if one.availability is None else f"{one.availability:.3%}",
        None if one.declared is None else f"{one.declared:.3%}",
        budget,
        lasting(one.down_s),
        f"{one.failed:,} of {one.answered + one.failed:,}",
        lasting(one.observed_s),
        None if one.p99_ms is None else f"{one.p99_ms:.3g} ms",
    )
