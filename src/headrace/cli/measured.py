"""``headrace monitor traffic | answers | segments | trends | learning``: what was measured, by part."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.learning import learning
from headrace.app.overviews.reading import answered, segments, traffic, trends
from headrace.cli.session import As, Json, print_json, print_table, session
from headrace.core.release import Measurement

Project = Annotated[str, typer.Argument(help="Name of the project.")]
Days = Annotated[int, typer.Option(min=1, max=366, metavar="N", help="How far to look back.")]


def list_traffic(project: Project, days: Days = 1, as_name: As = None, as_json: Json = False) -> None:
    """List the calls of each hour, by consumer, beside those of the day and of the week before."""
    with session(as_name) as s:
        found = traffic(s.app, s.me, project, days=days)
    if as_json:
        print_json(found)
        return
    print_table(
        ("HOUR", "CALLS", "DAY BEFORE", "WEEK BEFORE", "CONSUMERS"),
        [
            (
                _start(m),
                f"{m.value or 0:,.0f}",
                *("" if n is None else f"{n:,}" for n in (m.detail["day_before"], m.detail["week_before"])),
                ", ".join(f"{name} {sums['calls']:,}" for name, sums in m.detail["consumers"].items()),
            )
            for m in found
        ],
        empty="No full hour has been counted yet. An hour is counted five minutes after its end.",
    )


def list_answers(
    project: Project,
    days: Days = 1,
    by_day: Annotated[bool, typer.Option("--by-day", help="Days in place of hours.")] = False,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List what each release answered in each hour: least, middle and largest, and what is impossible."""
    with session(as_name) as s:
        found = answered(s.app, s.me, project, days=days, by_day=by_day)
    if as_json:
        print_json(found)
        return
    numbers = ("min", "median", "mean", "max", "deviation", "confidence")
    print_table(
        ("FROM", "RELEASE", "ANSWERS", *(name.upper() for name in numbers), "IMPOSSIBLE"),
        [
            (
                _start(m),
                (m.release_id or "")[:13],
                m.n_rows,
                *(f"{m.detail[name]:.4g}" if name in m.detail else "" for name in numbers),
                ", ".join(f"{n} {reason}" for reason, n in m.detail["impossible"].items() if n),
            )
            for m in found
        ],
        empty="No full hour of answers has been looked at yet. One is, five minutes after its end.",
    )


def list_segments(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List loss, accuracy and other metrics by segment and window, with how many labels have come."""
    with session(as_name) as s:
        found = segments(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("WINDOW", "RELEASE", "SEGMENT", "METRIC", "VALUE", "90 % INTERVAL", "LABELS", "COVERAGE"),
        [
            (
                _start(m)[:10],
                (m.release_id or "")[:13],
                f"{m.feature}: {m.segment}",
                m.detail["metric"],
                "not measured" if m.value is None else f"{m.value:.4g}",
                "" if m.interval is None else f"{m.interval[0]:.4g} to {m.interval[1]:.4g}",
                m.n_rows,
                "" if m.detail["coverage"] is None else f"{m.detail['coverage']:.0%}",
            )
            for m in found
        ],
        empty="Nothing was measured by segment: no labels have come, or no input has few categories "
        "(monitors.segments names others).",
    )


def list_trends(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List where the loss and each declared metric are now, and where they are going."""
    with session(as_name) as s:
        found = trends(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("RELEASE", "METRIC", "NOW", "CHANGE A WINDOW", "90 % INTERVAL", "WINDOWS"),
        [
            (
                (m.release_id or "")[:13],
                m.feature or "",
                f"{m.detail['current']:.4g}",
                "" if m.value is None else f"{m.value:+.3g}",
                "" if m.interval is None else f"{m.interval[0]:+.3g} to {m.interval[1]:+.3g}",
                m.detail["windows"],
            )
            for m in found
        ],
        empty="No trend yet: five windows with labels are needed.",
    )


def _start(measured: Measurement) -> str:
    return "" if measured.window is None else f"{measured.window[0]:%Y-%m-%d %H:%M}"


def list_learning(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """List the batches that what learns online has learnt, and the loss of its answers before it did."""
    with session(as_name) as s:
        found = learning(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    print_table(
        ("AT", "ROWS", "LEARNT", "LOSS", "INTERVAL"),
        [
            (
                f"{one.at:%Y-%m-%d %H:%M}",
                one.n_rows,
                one.detail["checkpoint"]["n_learnt"],
                "" if one.value is None else f"{one.value:.4g}",
                "" if one.interval is None else f"{one.interval[0]:.4g} to {one.interval[1]:.4g}",
            )
            for one in found
        ],
        empty="Nothing has been learnt online yet.",
    )
