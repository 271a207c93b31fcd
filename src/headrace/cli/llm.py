"""``headrace llm``: which calls to language models are allowed, and what instead."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app import llm_use
from headrace.app.llm_use import LLM_USE
from headrace.cli.reviewed_texts import OneVersion, add_changing, add_looking
from headrace.cli.session import As, Json, print_json, say, session

app = typer.Typer(no_args_is_help=True, help="Which calls to language models are allowed.")
use = typer.Typer(
    no_args_is_help=True, help="The list of which team may use which model for what: propose, review."
)
app.add_typer(use, name="use")
Project = Annotated[str, typer.Argument(help="Name of a project whose answers are texts.")]


@use.command("show")
def show(version: OneVersion = None, as_name: As = None, as_json: Json = False) -> None:
    """Print a version's text: redirect it into a file, change it, propose it."""
    with session(as_name) as s:
        shown = LLM_USE.show(s.app, s.me, version)
    if as_json:
        print_json(shown)
    else:
        typer.echo(shown.text, nl=False)


add_looking(use, LLM_USE, empty="The list that comes with Headrace is in force, and nothing was proposed.")
add_changing(use, LLM_USE, kind="list of allowed uses")


@app.command("instead")
def instead(project: Project, as_name: As = None, as_json: Json = False) -> None:
    """Models and projects that may be used for what a project is for, with its data."""
    with session(as_name) as s:
        found = llm_use.instead(s.app, s.me, project)
    if as_json:
        print_json(found)
        return
    say(f"{project} asks for {found.purpose or 'no stated purpose'} with {found.data_class} data.")
    say(f"Its live release may call: {', '.join(found.permitted) or 'no model'}.")
    say(f"Models allowed for this: {', '.join(found.models) or 'none yet'}.")
    say(f"Projects you may ask now: {', '.join(found.projects) or 'none'}.")
    say(f"To use another model, name it under models in the prompt, then run it: headrace run {project}")
    say(f"To ask for one that is not allowed: headrace llm ask {project} PROVIDER/MODEL --reason TEXT")


@app.command("ask")
def ask(
    project: Project,
    model: Annotated[str, typer.Argument(help="PROVIDER/MODEL, with a provider of providers.yaml.")],
    reason: Annotated[str, typer.Option(help="What for; those who decide read it.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Ask that a project may use a model: proposes the list with one entry more, for others to decide."""
    with session(as_name) as s:
        made = llm_use.ask(s.app, s.me, project, model, reason)
    if as_json:
        print_json(made)
        return
    say(f"Version {made.version} of the list waits for somebody other than {made.author!r}.")
    say(f"Next: {LLM_USE.command} approve {made.version} --as NAME, or at /policy/llm/{made.version}")
