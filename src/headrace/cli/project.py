"""``headrace project``: what is known here."""

from __future__ import annotations

import typer

from headrace.cli.session import As, Json, print_json, print_table, session
from headrace.projects.charter import project_schema

app = typer.Typer(no_args_is_help=True, help="Projects known here, and the charter's schema.")


@app.command("ls")
def list_projects(as_name: As = None, as_json: Json = False) -> None:
    """List projects."""
    with session(as_name) as s:
        s.app.gatekeeper.require(s.me, "project.read", "project:all")
        projects = s.app.store.projects.list()
    if as_json:
        print_json(projects)
    else:
        print_table(
            ("NAME", "TASK", "TARGET", "OWNER", "RISK"),
            [(p.name, p.task, p.data.target, p.owner.name, p.risk) for p in projects],
            empty="No project yet. Make one with 'headrace init'.",
        )


@app.command("schema")
def schema(as_json: Json = True) -> None:
    """Print the JSON schema of headrace.yaml, for editors; it is JSON either way."""
    if as_json:
        print_json(project_schema())
