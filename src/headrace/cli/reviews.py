"""``headrace release review`` and ``reviews``: looking at a live release again, and when that is due."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.operations import find_release
from headrace.app.overviews import reviews as periodic
from headrace.cli.session import As, Code, Json, print_json, print_table, say, session
from headrace.core.errors import InvalidInput


def review(
    release_id: Annotated[
        str, typer.Argument(metavar="ID", help="The live release's id, or its first letters.")
    ],
    outcome: Annotated[str, typer.Option(help="fit: it stays; unfit: it has to be replaced.")],
    looked_at: Annotated[str, typer.Option(metavar="TEXT", help="What was looked at, and what follows.")],
    code: Code = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Record a periodic review of a live release; never of one's own. A high risk takes a second factor."""
    if outcome not in ("fit", "unfit"):
        raise InvalidInput(f"A review finds a release 'fit' or 'unfit', got {outcome[:40]!r}.")
    with session(as_name, code) as s:
        release = find_release(s.app, s.me, release_id)
        made = periodic.record(
            s.app, s.me, release.id, outcome="fit" if outcome == "fit" else "unfit", looked_at=looked_at
        )
    if as_json:
        print_json(made)
        return
    say(f"{release.manifest.subject.ref} was found {made.state} by {made.by} (review {made.id}).")
    say(f"Attached: {len(made.findings)} findings, {len(made.measurements)} measurements.")


def list_reviews(
    project: Annotated[
        str | None, typer.Argument(help="Only this project, with the reviews that were.")
    ] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List when each live release has to be reviewed, the first due first."""
    with session(as_name) as s:
        due = periodic.standings(s.app, s.me, project)
        done = [] if project is None else periodic.history(s.app, s.me, project)
    if as_json:
        print_json({"due": due, "reviews": done})
        return
    print_table(
        ("RELEASE", "SUBJECT", "DUE", "", "EVERY", "BY", "LAST", "FOUND SINCE", "STILL SO"),
        [
            (
                one.release_id,
                one.subject,
                f"{one.due_at:%Y-%m-%d}",
                "overdue" if one.overdue else "soon" if one.soon else "",
                f"{one.every_days} d",
                one.by,
                None if one.last is None else f"{one.last.state}, {one.last.by} {one.last.at:%Y-%m-%d}",
                len(one.findings) - len(one.still),
                len(one.still),
            )
            for one in due
        ],
        empty="Nothing live is reviewed. A project says 'review: {every_days: 90}'; a high risk has it.",
    )
    for standing in due if project is not None else ():
        for found in standing.findings:
            word = "still so" if found.id in standing.still else "found"
            say(f"{found.at:%Y-%m-%d %H:%M}  {word}  {found.kind}: {found.title}")
    for one in done:
        say(f"{one.at:%Y-%m-%d %H:%M}  {one.state}  {one.by}  release {one.release_id}: {one.looked_at}")
