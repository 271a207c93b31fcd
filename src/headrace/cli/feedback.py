"""``headrace monitor import-feedback``: what people did around answers, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.app.feedback import import_feedback
from headrace.cli.session import As, Json, print_json, session

Project = Annotated[str, typer.Argument(help="Name of the project.")]


def import_events(
    project: Project,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One JSON object a line, as the API takes.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Store what people did around answers, and what those earned; each event once."""
    with session(as_name) as s:
        n_stored = import_feedback(s.app, s.me, project, file)
    if as_json:
        print_json({"project": project, "stored": n_stored})
        return
    typer.echo(f"{n_stored:,} events stored.")
    typer.echo(f"Next: headrace monitor watch {project}")
