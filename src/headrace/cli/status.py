"""``headrace status``: what is live, what waits, what is under way."""

from __future__ import annotations

import typer

from headrace.app.reading import overview
from headrace.cli.session import As, Json, print_json, print_table, say, session

app = typer.Typer(add_completion=False)


@app.command()
def status(as_name: As = None, as_json: Json = False) -> None:
    """What is live, what waits for a person, what is under way."""
    with session(as_name) as s:
        found = overview(s.app, s.me)
    if as_json:
        print_json(found)
        return
    say(f"Server   {found.server or 'not running; start it with: headrace up'}")
    print_table(
        ("PROJECT", "LIVE", "CANARY", "WAITS FOR A PERSON", "LAST FINDING"),
        [
            (p.name, p.live, p.canary, ", ".join(p.waiting), p.last_finding.title if p.last_finding else "")
            for p in found.projects
        ],
        empty="No project yet. Make one with 'headrace init'.",
    )
