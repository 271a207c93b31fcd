"""``headrace serve queue``: requests that wait for their answer, and those that were given up."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.answers.later import callback_keys, failed, queues, try_again
from headrace.cli.session import As, Json, print_json, print_table, say, session

app = typer.Typer(no_args_is_help=True, help="Requests that are answered later.")


@app.callback()
def queue() -> None:
    """Requests that are answered later."""


@app.command("show")
def show(as_name: As = None, as_json: Json = False) -> None:
    """How many requests wait in your workspace, and how many were set aside after some tries."""
    with session(as_name) as s:
        found = queues(s.app, s.me)
    if as_json:
        print_json(found)
    else:
        rows = [(one.workspace, one.waiting, one.buried) for one in found]
        print_table(("WORKSPACE", "WAITING", "SET ASIDE"), rows, empty="Nothing waits.")


@app.command("failed")
def list_failed(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Requests that were given up within the last day, and why."""
    with session(as_name) as s:
        found = failed(s.app, s.me, project)
    if as_json:
        names = ("id", "project", "principal", "at", "ended_at", "attempts", "kind", "error")
        print_json([{name: getattr(job, name) for name in names} for job in found])
    else:
        rows = [(job.id, job.principal, job.attempts, job.kind, job.error) for job in found]
        print_table(("ID", "BY", "TRIES", "KIND", "WHY"), rows, empty=f"No request of {project} has failed.")


@app.command("retry")
def retry(
    project: Annotated[str, typer.Argument(help="Name of the project.")],
    ids: Annotated[list[str] | None, typer.Argument(help="Requests that have failed; all if none.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Put requests that were given up back into the queue."""
    with session(as_name) as s:
        again = try_again(s.app, s.me, project, ids or ())
    if as_json:
        print_json([job.id for job in again])
    else:
        some = "1 request" if len(again) == 1 else f"{len(again):,} requests"
        say(f"Waiting for an answer again: {some} of {project}.")


@app.command("key")
def key(as_name: As = None, as_json: Json = False) -> None:
    """Print the public key by which a receiver verifies that it is told by this home."""
    with session(as_name) as s:
        found = callback_keys(s.app)
    if as_json:
        print_json([one._asdict() for one in found])
    else:
        typer.echo(found[0].pem.strip())
