"""``headrace audit``: the chained log."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app import auditing
from headrace.cli.session import As, Json, print_json, print_table, session
from headrace.core.errors import InternalError

app = typer.Typer(no_args_is_help=True, help="The chained log of what happened.")


@app.command("ls")
def list_entries(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many of the newest.")] = 50,
    text: Annotated[str, typer.Option("--search", metavar="TEXT", help="Only entries that hold this.")] = "",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Print the newest entries."""
    with session(as_name) as s:
        entries = auditing.search(s.app, s.me, text, limit=limit).entries[::-1]
    if as_json:
        print_json(entries)
    else:
        print_table(
            ("#", "AT", "WHO", "WHAT", "ON"),
            [(e.sequence, f"{e.at:%Y-%m-%d %H:%M:%S}", e.actor, e.action, e.resource) for e in entries],
            empty="Nothing has happened yet.",
        )


@app.command("verify")
def verify(as_name: As = None, as_json: Json = False) -> None:
    """Recompute the chain; an edit, deletion or reorder is an error."""
    with session(as_name) as s:
        verified = auditing.verify(s.app, s.me)
    if verified.problem is not None:
        raise InternalError(verified.problem)
    n_entries = verified.n_entries
    if as_json:
        print_json({"entries": n_entries, "intact": True})
    else:
        typer.echo(f"{n_entries} entries, chain intact.")
