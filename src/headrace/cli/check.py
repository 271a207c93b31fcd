"""``headrace check``: the flight check."""

from __future__ import annotations

from pathlib import Path

import typer

from headrace.cli.exits import end_with
from headrace.cli.session import Json, print_json
from headrace.core.errors import GateFailed
from headrace.projects.charter import load_project
from headrace.projects.flight import flight_check
from headrace.training.definition import load_definition

app = typer.Typer(add_completion=False)


@app.command()
def check(as_json: Json = False) -> None:
    """The flight check of the project in this folder: what is missing before it can go live."""
    folder = Path.cwd()
    project = load_project(folder)
    items = flight_check(project, folder)
    missing_trainers = {v.trainer for v in project.variants} - set(load_definition(folder).trainers)
    if as_json:
        print_json({"items": items, "missing_trainers": sorted(missing_trainers)})
    else:
        for item in items:
            typer.echo(f"  {'ok ' if item.ticked else '-- '} {item.name:<14} {item.detail}")
            if item.next_step:
                typer.echo(f"      next: {item.next_step}")
    problems = [item.name for item in items if not item.ticked]
    if missing_trainers:
        problems.append(f"trainers missing in project.py: {', '.join(sorted(missing_trainers))}")
    if problems:
        end_with(GateFailed(f"The flight check is not complete: {'; '.join(problems)}."), as_json=as_json)
    if not as_json:
        typer.echo("Ready. Next: headrace run")
